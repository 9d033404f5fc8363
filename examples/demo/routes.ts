/** The HTTP routes: login, logout, and counting over HTTP. */
// @ts-types="@types/koa"
import type Koa from "koa";
import type { SessionBridge, SessionContext } from "@koa-io/session";
import { readJson } from "./body.ts";
import {
  type CounterEvent,
  type DemoSession,
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

/** Sends the number of devices that a user is logged in on to every socket of the user. */
export async function sendDevices(bridge: Bridge, user: string): Promise<void> {
  const { length } = await bridge.sessionsOf(user);
  bridge.toUser(user).emit("devices", length);
}

function showMe(ctx: Context): void {
  ctx.body = {
    clientId: shorten(ctx.clientId),
    sessionId: shorten(ctx.sessionId),
    user: ctx.session?.user,
    count: ctx.session?.count,
  } satisfies Me;
}

async function logIn(ctx: Context, bridge: Bridge): Promise<void> {
  const user = userName(ctx, await readJson(ctx));
  // an existing session gets a new id, and its open tabs follow; where sockets
  // from before the login are not trusted, use { sockets: "leave" }
  if (ctx.sessionId) await ctx.regenerateSession();
  const before = ctx.session?.user;
  ctx.session = { user, count: 0 };
  ctx.body = { user };
  afterwards(ctx, async () => {
    if (before !== undefined && before !== user) {
      await sendDevices(bridge, before);
    }
    await sendDevices(bridge, user);
  });
}

function logOut(ctx: Context, bridge: Bridge): void {
  const user = needUser(ctx);
  ctx.session = null;
  ctx.body = {};
  afterwards(ctx, () => sendDevices(bridge, user));
}

async function logOutEverywhere(ctx: Context, bridge: Bridge): Promise<void> {
  const user = needUser(ctx);
  const others = await bridge.destroyUser(user, { except: ctx.sessionId! });
  // the session of this browser ends with the response, which deletes the cookie
  ctx.session = null;
  ctx.body = { ended: others + 1 };
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
