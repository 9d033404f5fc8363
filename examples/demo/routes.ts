/** The HTTP routes: login, logout, devices, and counting over HTTP. */
import { bodyParser } from "@koa/bodyparser";
import Router from "@koa/router";
// @ts-types="@types/koa"
import type Koa from "koa";
import type { SessionBridge, SessionContext } from "@koa-io/session";
import {
  type CounterEvent,
  type DemoSession,
  type Device,
  increment,
  type Me,
  shorten,
  tabName,
} from "./session.ts";

export type App = Koa<Koa.DefaultState, SessionContext<DemoSession>>;
export type Context = Koa.ParameterizedContext<
  Koa.DefaultState,
  SessionContext<DemoSession>
>;

type Bridge = SessionBridge<DemoSession>;

const LONGEST_NAME = 24;

/** Adds the routes below `/api/`. */
export function serveApi(app: App, bridge: Bridge): void {
  const router = new Router<Koa.DefaultState, SessionContext<DemoSession>>({
    prefix: "/api",
  });
  const body = bodyParser({ enableTypes: ["json"], jsonLimit: "1kb" });
  router.get("/me", showMe);
  router.post("/login", body, logIn);
  router.post("/logout", logOut);
  router.post("/logout/everywhere", (ctx) => logOutEverywhere(ctx, bridge));
  router.get("/devices", (ctx) => listDevices(ctx, bridge));
  router.post("/devices/end", body, (ctx) => endDevice(ctx, bridge));
  router.post("/devices/end-others", (ctx) => endOtherDevices(ctx, bridge));
  router.post("/regenerate", regenerate);
  router.post("/count/session", (ctx) => countInSession(ctx, bridge));
  router.post("/count/transaction", (ctx) => countInTransaction(ctx, bridge));
  app.use(router.routes());
  app.use(router.allowedMethods());
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

function logIn(ctx: Context): void {
  const user = userName(ctx);
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
    host: String(meta?.host ?? ""),
    lastUsed,
  }));
}

async function endDevice(ctx: Context, bridge: Bridge): Promise<void> {
  const user = needUser(ctx);
  const { handle } = bodyOf(ctx);
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

/** Plain koa-session: what is read before the pause is written after the handler. */
async function countInSession(ctx: Context, bridge: Bridge): Promise<void> {
  needUser(ctx);
  const value = await increment(ctx.session!, ctx.query.pause);
  ctx.body = { value };
  afterwards(ctx, () => sendCount(ctx, bridge, value, "ctx.session"));
}

/** A transaction: no concurrent increment is lost. */
async function countInTransaction(ctx: Context, bridge: Bridge): Promise<void> {
  needUser(ctx);
  const value = await ctx.withSession(({ session }) =>
    increment(session, ctx.query.pause)
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

function userName(ctx: Context): string {
  const { name } = bodyOf(ctx);
  const user = typeof name === "string" ? name.trim() : "";
  if (user === "" || user.length > LONGEST_NAME || /\p{C}/u.test(user)) {
    ctx.throw(400, `A name has 1 to ${LONGEST_NAME} printable characters`);
  }
  return user;
}

/** The JSON of the request, as `@koa/bodyparser` read it; empty without one. */
function bodyOf(ctx: Context): Readonly<Record<string, unknown>> {
  return (ctx.request as { body?: Record<string, unknown> }).body ?? {};
}
