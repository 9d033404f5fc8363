/** Browsers, held requests and reconnecting sockets on a deployment. */
import type { SessionConflict } from "@koa-io/session";
import type { TestContext, TestSession } from "../app.ts";
import type { Answer, Browser, RequestOptions } from "../browser.ts";
import { CookieJar } from "../cookies.ts";
import type { Parts } from "../routes.ts";
import type { Stand } from "../server.ts";
import { deferred, until } from "../wait.ts";
import { trickle } from "./trickle.ts";

/** Answers a path. */
export type Handler = (ctx: TestContext) => unknown;

/** Handlers by path. */
export type RouteTable = Map<string, Handler>;

/** A browser at both nodes: the same one twice where there is one node. */
export interface Visitor {
  readonly here: Browser;
  readonly there: Browser;
  readonly jar: CookieJar;
}

/** A request whose handler waits. */
export interface HeldRequest {
  /** Lets its handler continue, and resolves to the answer. */
  finish(): Promise<Answer>;
}

/** A deployment that runs. */
export interface World {
  /** One node. */
  readonly here: Stand;
  /** The other node; the same where there is one. */
  readonly there: Stand;
  /** The `sessionConflict` events of all nodes so far. */
  readonly conflicts: readonly SessionConflict[];
  /** The `sessionEnd` events of local origin so far, as `[sessionId, reason]`. */
  readonly ends: readonly (readonly [string, string])[];
  /** A new browser, with these cookies where they are given. */
  visitor(jar?: CookieJar): Visitor;
  /** Adds a route to all nodes. */
  route(path: string, handler: Handler): void;
  /** Sends a request, and resolves once its handler runs; that waits to call `act`. */
  hold(
    browser: Browser,
    act: Handler,
    options?: RequestOptions,
  ): Promise<HeldRequest>;
  /** As `hold`, for a request whose body arrives in two parts: `finish` sends the second one. */
  trickle(
    browser: Browser,
    act: (ctx: TestContext, body: TestSession) => unknown,
    json: TestSession,
    jar?: CookieJar,
  ): Promise<HeldRequest>;
  /** Resolves once this many conflicts were reported. */
  conflicted(count: number): Promise<void>;
  /** The data of a session as the store has it; `undefined` where there is none. */
  peek(sessionId: string | undefined): Promise<TestSession | undefined>;
}

/** Resolves in a later millisecond: what arrives then does not count as sent before. */
export function laterOn(): Promise<void> {
  const since = Date.now();
  return until(() => Date.now() > since, "a later millisecond");
}

/** Adds the routes of a table, which may grow later. */
export function routesOf(routes: RouteTable): (parts: Parts) => void {
  return ({ app }) => {
    app.use(async (ctx: TestContext, next) => {
      const handler = routes.get(ctx.path);
      if (!handler) return await next();
      ctx.body = await handler(ctx) ?? "done";
    });
  };
}

/** Makes the world of a deployment. */
export function makeWorld(
  here: Stand,
  there: Stand,
  routes: RouteTable,
): World {
  const conflicts: SessionConflict[] = [];
  const ends: [string, string][] = [];
  for (const { bridge } of new Set([here, there])) {
    bridge.on("sessionConflict", (event) => conflicts.push(event));
    bridge.on("sessionEnd", ({ sessionId, reason, local }) => {
      if (local) ends.push([sessionId, reason]);
    });
  }
  let count = 0;
  const held = (act: Handler, gate: Promise<void>) => {
    const entered = deferred();
    const path = `/held/${count++}`;
    routes.set(path, async (ctx) => {
      entered.resolve();
      await gate;
      return await act(ctx);
    });
    return { path, entered: entered.promise };
  };
  return {
    here,
    there,
    conflicts,
    ends,
    visitor(jar = new CookieJar()) {
      const first = here.browser(jar);
      const second = here === there ? first : there.browser(jar);
      return { here: first, there: second, jar };
    },
    route: (path, handler) => void routes.set(path, handler),
    async hold(browser, act, options) {
      const gate = deferred();
      const { path, entered } = held(act, gate.promise);
      const answer = browser.post(path, options);
      await entered;
      return {
        finish() {
          gate.resolve();
          return answer;
        },
      };
    },
    async trickle(browser, act, json, jar) {
      const { path, entered } = held(
        async (ctx) => act(ctx, await trickle.read(ctx.req)),
        Promise.resolve(),
      );
      const request = trickle.send(browser, path, json, jar);
      await entered;
      return { finish: request.finish };
    },
    conflicted: (count) =>
      until(
        () => conflicts.length >= count,
        `${count} conflicts, not ${conflicts.length}`,
      ),
    async peek(sessionId) {
      return sessionId === undefined
        ? undefined
        : await there.bridge.peek(sessionId) ?? undefined;
    },
  };
}
