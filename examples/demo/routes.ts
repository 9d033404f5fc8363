/** The HTTP routes: login, logout, devices, and counting over HTTP. */
// @ts-types="@types/koa"
import type Koa from "koa";
import type { SessionBridge, SessionContext } from "@koa-io/session";
import { readJson } from "./body.ts";
import {
  type CounterEvent,
  type DemoSession,
  type Device,
  type Me,
  shorten,
  tabName,
} from "./session.ts";

export type Context = Koa.ParameterizedContext<
  Koa.DefaultState,
  SessionContext<DemoSession>
>;
export type Next = () => Promise<void>;

/** The members of the application that the routes use. */
export interface Routed {
  use(middleware: (ctx: Context, next: Next) => Promise<void>): unknown;
}

type Bridge = SessionBridge<DemoSession>;
type Route = (ctx: Context, bridge: Bridge) => void | Promise<void>;

const LONGEST_NAME = 24;

const routes = new Map<string, Route>([
  ["GET /api/me", showMe],
  ["POST /api/login", logIn],
  ["POST /api/logout", logOut],
  ["POST /api/logout/everywhere", logOutEverywhere],
  ["GET /api/devices", listDevices],
  ["POST /api/devices/end", endDevice],
  ["POST /api/devices/end-others", endOtherDevices],
  ["POST /api/regenerate", regenerate],
  ["POST /api/count/session", countInSession],
  ["POST /api/count/transaction", countInTransaction],
]);

/** Adds the routes below `/api/`. */
export function serveApi(app: Routed, bridge: Bridge): void {
  app.use(async (ctx, next) => {
    const route = routes.get(`${ctx.method} ${ctx.path}`);
    if (route) return await route(ctx, bridge);
    const allowed = ["GET", "POST"].filter((method) =>
      routes.has(`${method} ${ctx.path}`)
    );
    if (allowed.length === 0) return await next();
    ctx.set("allow", allowed.join(", "));
    ctx.throw(405, `Only ${allowed.join(" and ")} will do here`);
  });
}

/** Reports to every socket of a user that the list of devices changed. */
export function reportDevices(bridge: Bridge, user: string): void {
  bridge.toUser(user).emit("devices");
}

function showMe(ctx: Context): void {
  ctx.body = {
    clientId: shorten(ctx.clientId),
    sessionId: shorten(ctx.sessionId),
    user: ctx.session?.user,
    count: ctx.session?.count,
  } satisfies Me;
}

async function logIn(ctx: Context): Promise<void> {
  const user = userName(ctx, await readJson(ctx));
  // the session belongs to another user then: the bridge gives it a new id, and
  // makes the open tabs reconnect with it
  ctx.session = { user, count: 0 };
  ctx.body = { user };
}

function logOut(ctx: Context): void {
  needUser(ctx);
  ctx.session = null;
  ctx.body = {};
}

async function logOutEverywhere(ctx: Context, bridge: Bridge): Promise<void> {
  const user = needUser(ctx);
  const others = await bridge.destroyUser(user, { except: ctx.sessionId! });
  // the session of this browser ends with the response, which deletes the cookie
  ctx.session = null;
  ctx.body = { ended: others + 1 };
}

async function listDevices(ctx: Context, bridge: Bridge): Promise<void> {
  const user = ctx.session?.user;
  const sessions = user === undefined
    ? []
    : await bridge.sessionsOf(user, { current: ctx.sessionId });
  ctx.body = sessions.map(({ handle, current, lastUsed, meta }): Device => ({
    handle,
    current,
    browser: String(meta?.browser ?? ""),
    lastUsed,
  }));
}

async function endDevice(ctx: Context, bridge: Bridge): Promise<void> {
  const user = needUser(ctx);
  const { handle } = (await readJson(ctx) ?? {}) as { handle?: unknown };
  if (typeof handle !== "string") ctx.throw(400, "A handle is missing");
  // what is no session of this user is ignored
  const ended = await bridge.destroyUser(user, { only: handle });
  reportDevices(bridge, user);
  ctx.body = { ended };
}

async function endOtherDevices(ctx: Context, bridge: Bridge): Promise<void> {
  const user = needUser(ctx);
  const ended = await bridge.destroyUser(user, { except: ctx.sessionId! });
  reportDevices(bridge, user);
  ctx.body = { ended };
}

async function regenerate(ctx: Context): Promise<void> {
  needUser(ctx);
  await ctx.regenerateSession();
  ctx.body = { sessionId: shorten(ctx.sessionId) };
}

/** Plain koa-session: two concurrent requests would both read the same value. */
function countInSession(ctx: Context, bridge: Bridge): void {
  needUser(ctx);
  const session = ctx.session!;
  const value = session.count = (session.count ?? 0) + 1;
  ctx.body = { value };
  afterwards(ctx, () => sendCount(ctx, bridge, value, "ctx.session"));
}

/** A transaction: no concurrent increment is lost. */
async function countInTransaction(ctx: Context, bridge: Bridge): Promise<void> {
  needUser(ctx);
  const value = await ctx.withSession(({ session }) =>
    session.count = (session.count ?? 0) + 1
  );
  ctx.body = { value };
  sendCount(ctx, bridge, value, "ctx.withSession");
}

function sendCount(
  ctx: Context,
  bridge: Bridge,
  value: number,
  via: CounterEvent["via"],
): void {
  const event: CounterEvent = { value, via, tab: tabName(ctx.get("x-tab")) };
  if (ctx.sessionId) bridge.toSession(ctx.sessionId).emit("counter", event);
}

/** Runs a notification after the response: koa-session writes after the handler. */
function afterwards(ctx: Context, notify: () => void | Promise<void>): void {
  ctx.res.once("finish", () => {
    Promise.resolve().then(notify).catch((error) =>
      ctx.app.emit("error", error)
    );
  });
}

function needUser(ctx: Context): string {
  return ctx.session?.user ?? ctx.throw(401, "Log in first");
}

function userName(ctx: Context, body: unknown): string {
  const { name } = (body ?? {}) as { name?: unknown };
  const user = typeof name === "string" ? name.trim() : "";
  if (user === "" || user.length > LONGEST_NAME || /\p{C}/u.test(user)) {
    ctx.throw(400, `A name has 1 to ${LONGEST_NAME} printable characters`);
  }
  return user;
}
