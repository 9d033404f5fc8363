/** The operations of the model test, and the server that they go to. */
import type { TestContext, TestSession } from "./app.ts";
import { increment } from "./routes.ts";
import { type Scenario, startScenario } from "./scenario.ts";

/** Operations on a session that may all go out at once. */
export const SHARED = [
  "add over http",
  "add over a socket",
  "add over the bridge",
  "put a",
  "put b",
  "delete a",
  "replace c",
  "fail",
] as const;

/** Operations that move a client; at most one in a step. */
export const MOVING = [
  "login",
  "log out over http",
  "log out over a socket",
  "destroy",
  "expire",
  "regenerate",
  "reconnect",
  "disconnect",
  "connect",
] as const;

/** Operations that change the user of a session, for a bridge with the option `user`. */
export const CHANGING = [
  "switch over http",
  "forget over http",
  "switch over the bridge",
] as const;

/** One operation of a client. */
export type Operation =
  | typeof SHARED[number]
  | typeof MOVING[number]
  | typeof CHANGING[number];

/**
 * Whether an operation may go out together with one that moves the client. A disconnect loses the acknowledgements of its socket, and a plain request that loaded the session before its lifetime was shortened restores the old one.
 */
export function agrees(shared: Operation, moving: Operation): boolean {
  if (moving === "disconnect") return shared !== "add over a socket";
  return moving !== "expire" || shared === "add over a socket" ||
    shared === "add over the bridge";
}

/** How long a session lives once "expire" has shortened its life, in ms. */
const SHORT_LIFE = 30;

/** The user that follows another one. */
export function nextUser({ user }: TestSession): string {
  return user === "ada" ? "bob" : "ada";
}

/**
 * The server of the model test, with a route for every operation over HTTP.
 *
 * @param withUser whether it has the option `user`; a login sets a user then
 */
export async function startModel(withUser: boolean): Promise<Scenario> {
  const scenario = await startScenario({
    ...withUser && { user: (session) => session.user },
    touchInterval: 10,
    // a session without sockets is missed when the store clears it away
    autoCleanupMs: 100,
  });
  const existing = (path: string, act: (ctx: TestContext) => unknown) =>
    scenario.route(path, (ctx) => ctx.session!.isNew ? "guest" : act(ctx));
  existing("/add", (ctx) => ctx.withSession(increment, "guest"));
  existing("/put-a", (ctx) => void (ctx.session!.a = Number(ctx.query.value)));
  existing("/put-b", (ctx) => void (ctx.session!.b = Number(ctx.query.value)));
  existing("/delete-a", (ctx) => void delete ctx.session!.a);
  existing("/replace-c", (ctx) => {
    const { c: _, ...rest } = ctx.session!.toJSON() as TestSession;
    ctx.session = { ...rest, c: [Number(ctx.query.value)] } as never;
  });
  existing("/fail", async (ctx) => {
    await ctx.withSession(({ session }) => {
      session!.n = -1;
      session!.a = -1;
      throw new Error("on purpose");
    }, undefined).catch(() => {});
  });
  existing("/end", (ctx) => void (ctx.session = null));
  existing("/regenerate", (ctx) => ctx.regenerateSession());
  existing(
    "/reconnect",
    (ctx) => ctx.regenerateSession({ sockets: "reconnect" }),
  );
  existing(
    "/switch-over-http",
    (ctx) => void (ctx.session!.user = nextUser(ctx.session!)),
  );
  existing("/forget-over-http", (ctx) => void delete ctx.session!.user);
  existing("/expire", (ctx) => void (ctx.session!.maxAge = SHORT_LIFE));
  scenario.route("/login", (ctx) => {
    ctx.session!.n ??= 0;
    if (withUser) ctx.session!.user ??= "ada";
    return ctx.session!.isNew ? "begun" : "kept";
  });
  scenario.bridge.setMaxListeners(0);
  return scenario;
}
