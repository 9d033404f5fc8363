/** The HTTP half: log in and out, and one of the two ways to move the counter. */
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

/** The application that the routes are for. */
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

/** Tells every socket of a user on how many devices the user is logged in. */
export async function tellDevices(bridge: Bridge, user: string): Promise<void> {
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
  // whoever is logged in already goes on under a new id, and the open tabs with it;
  // where a guest's sockets are not to be trusted, { sockets: "leave" } leaves them behind
  if (ctx.sessionId) await ctx.regenerateSession();
  const before = ctx.session?.user;
  ctx.session = { user, count: 0 };
  ctx.body = { user };
  afterwards(ctx, async () => {
    if (before !== undefined && before !== user) {
      await tellDevices(bridge, before);
    }
    await tellDevices(bridge, user);
  });
}

function logOut(ctx: Context, bridge: Bridge): void {
  const user = needUser(ctx);
  ctx.session = null;
  ctx.body = {};
  afterwards(ctx, () => tellDevices(bridge, user));
}

async function logOutEverywhere(ctx: Context, bridge: Bridge): Promise<void> {
  const user = needUser(ctx);
  const others = await bridge.destroyUser(user, { except: ctx.sessionId });
  // this browser's own session goes the usual way, its cookie with it
  ctx.session = null;
  ctx.body = { ended: others + 1 };
}

async function regenerate(ctx: Context): Promise<void> {
  needUser(ctx);
  await ctx.regenerateSession();
  ctx.body = { sessionId: shorten(ctx.sessionId) };
}

/** Plain koa-session: good for a click, but two at once would both read the same value. */
function countInSession(ctx: Context, bridge: Bridge): void {
  needUser(ctx);
  const session = ctx.session!;
  const value = session.count = (session.count ?? 0) + 1;
  ctx.body = { value };
  afterwards(ctx, () => tellCount(ctx, bridge, value, "ctx.session"));
}

/** A transaction: however many at once, none is lost. */
async function countInTransaction(ctx: Context, bridge: Bridge): Promise<void> {
  needUser(ctx);
  const value = await ctx.withSession(({ session }) =>
    session.count = (session.count ?? 0) + 1
  );
  ctx.body = { value };
  tellCount(ctx, bridge, value, "ctx.withSession");
}

function tellCount(
  ctx: Context,
  bridge: Bridge,
  value: number,
  via: CounterEvent["via"],
): void {
  const event: CounterEvent = { value, via, tab: tabName(ctx.get("x-tab")) };
  if (ctx.sessionId) bridge.toSession(ctx.sessionId).emit("counter", event);
}

/** koa-session writes after the handler: what others are told of it has to wait for that. */
function afterwards(ctx: Context, tell: () => void | Promise<void>): void {
  ctx.res.once("finish", () => {
    Promise.resolve().then(tell).catch((error) => ctx.app.emit("error", error));
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
