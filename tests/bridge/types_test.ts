/**
 * Compile-time checks of the public types. `deno test` compiles this
 * file, so a check that fails does so before anything runs; `@ts-expect-error` marks what must be refused.
 */
// @ts-types="@types/koa"
import Koa from "koa";
import { Server, type Socket } from "socket.io";
import type { EventEmitter } from "node:events";
import type bridgeDefault from "@koa-io/session";
import {
  type AtomicStore,
  type BasicStore,
  type BridgeOptions,
  bridgeSession,
  type BridgeStats,
  type CallbackContext,
  type ClientEvents,
  type Conflict,
  type DestroyUserOptions,
  type EndReason,
  type ExternalKey,
  type Finding,
  generateUid,
  type MissingResult,
  type NativeSession,
  type OnSessionEnd,
  type OnUserChange,
  type OriginOption,
  type RegenerateOptions,
  type Rooms,
  SessionBridge,
  type SessionChange,
  type SessionConflict,
  SessionConflictError,
  type SessionContext,
  type SessionData,
  type SessionEnd,
  SessionEndedError,
  type SessionError,
  type SessionErrorCode,
  SessionInvalidError,
  type SessionIssue,
  type SessionLimit,
  SessionLimitError,
  SessionMissingError,
  type SessionRecord,
  type SessionSocket,
  type SessionStart,
  SessionStore,
  SessionStoreError,
  type SessionStoreEvents,
  type SessionStoreOptions,
  SessionTimeoutError,
  type SessionTrace,
  type SessionView,
  type SharedStore,
  type SocketContext,
  type SocketSession,
  type StoreCall,
  type StoredRecord,
  type UserChange,
  type UserSession,
} from "@koa-io/session";
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";

/** Whether two types are the same; `any` and `readonly` make a difference. */
type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends
  (<T>() => T extends B ? 1 : 2) ? true : false;

/** Compiles only for `Expect<true>`. */
type Expect<T extends true> = T;

/** Compiles only where `Part` can be used as `Whole`. */
type Fits<Whole, Part extends Whole> = Part;

type IsAny<T> = 0 extends 1 & T ? true : false;

/** Whether a function takes or returns `any`, or a promise or a list of it. */
type Leaks<T> = IsAny<T> extends true ? true
  : T extends (...args: infer A) => infer R
    ? true extends IsAny<A[number]> | IsAny<Awaited<R>> | IsAny<Item<R>> ? true
    : false
  : IsAny<Item<T>>;

type Item<T> = T extends readonly (infer I)[] ? I : undefined;

/** The names of the members that leak `any`. */
type Leaking<T> = {
  [K in keyof T]-?: Leaks<T[K]> extends true ? K : never;
}[keyof T];

/** A value of a type; only types are looked at. */
function value<T>(): T {
  return undefined as T;
}

/** Compiled and never called. */
function compile(_body: () => unknown): void {}

/** Compiles only when the value is of exactly this type. */
function same<Expected>() {
  return <Actual>(
    _actual: Actual,
    ..._equal: Equals<Expected, Actual> extends true ? [] : [never]
  ): void => {};
}

interface MySession {
  user?: string;
  count: number;
}

interface FromClient {
  add(by: number, reply: (sum: number) => void): void;
}

interface FromServer {
  sum(sum: number): void;
}

type MyView = SessionView<MySession, undefined>;

/** What a bridge adds to Node's emitter, whose own types are full of `any`. */
type OwnOf<B> = Omit<B, keyof EventEmitter>;

export type NoAny = [
  Expect<Equals<Leaking<OwnOf<SessionBridge>>, never>>,
  Expect<Equals<Leaking<OwnOf<SessionBridge<MySession>>>, never>>,
  Expect<Equals<Leaking<BridgeOptions>, never>>,
  Expect<Equals<Leaking<BridgeOptions<MySession>>, never>>,
  Expect<Equals<Leaking<BridgeStats>, never>>,
  Expect<Equals<Leaking<ClientEvents>, never>>,
  Expect<Equals<Leaking<Conflict>, never>>,
  Expect<Equals<Leaking<ExternalKey>, never>>,
  Expect<Equals<Leaking<Finding>, never>>,
  Expect<Equals<Leaking<NativeSession>, never>>,
  Expect<Equals<Leaking<RegenerateOptions>, never>>,
  Expect<Equals<Leaking<SessionConflict>, never>>,
  Expect<Equals<Leaking<SessionContext>, never>>,
  Expect<Equals<Leaking<SessionContext<MySession>>, never>>,
  Expect<Equals<Leaking<SessionChange>, never>>,
  Expect<Equals<Leaking<SessionEnd>, never>>,
  Expect<Equals<Leaking<SessionTrace>, never>>,
  Expect<Equals<Leaking<SocketContext>, never>>,
  Expect<Equals<Leaking<SessionStart>, never>>,
  Expect<Equals<Leaking<SocketSession<MySession>>, never>>,
  Expect<Equals<Leaking<MyView>, never>>,
  Expect<Equals<Leaking<UserSession>, never>>,
  Expect<Equals<Leaking<UserChange>, never>>,
  Expect<Equals<Leaking<DestroyUserOptions>, never>>,
  Expect<Equals<Leaking<SessionLimit>, never>>,
  Expect<Equals<Leaking<BasicStore>, never>>,
  Expect<Equals<Leaking<AtomicStore>, never>>,
  Expect<Equals<Leaking<SharedStore>, never>>,
  Expect<Equals<Leaking<SessionStore>, never>>,
  Expect<Equals<Leaking<SessionStoreEvents>, never>>,
  Expect<Equals<Leaking<SessionStoreOptions>, never>>,
  Expect<Equals<Leaking<SessionRecord>, never>>,
  Expect<Equals<Leaking<StoredRecord>, never>>,
  Expect<Equals<Leaking<StoreCall>, never>>,
  Expect<Equals<IsAny<SessionData[string]>, false>>,
];

// the helpers themselves can fail
export type HelpersWork = [
  Expect<Equals<Equals<string, unknown>, false>>,
  // deno-lint-ignore no-explicit-any
  Expect<Equals<Leaking<{ a: string; b: any }>, "b">>,
  // deno-lint-ignore no-explicit-any
  Expect<Equals<Leaking<{ f(a: any): void; g(): Promise<any> }>, "f" | "g">>,
];

export type Contracts = [
  Fits<AtomicStore, SessionStore>,
  Fits<BasicStore, OldStore>,
  Expect<Equals<SessionError["code"], SessionErrorCode>>,
  Expect<Equals<SessionEnd["reason"], EndReason>>,
  Expect<Equals<typeof bridgeDefault, typeof bridgeSession>>,
];

/** A store as a user of 2.2.0 has it. */
interface OldStore {
  get(sid: string): Record<string, unknown> | undefined;
  set(sid: string, session: Record<string, unknown>, maxAge?: unknown): boolean;
  destroy(sid: string): boolean;
  // deno-lint-ignore no-explicit-any
  on(event: string, listener: (...args: any[]) => void): void;
}

export type OnMissing = [
  Expect<Equals<MissingResult<Error>, never>>,
  Expect<Equals<MissingResult<RangeError>, never>>,
  Expect<Equals<MissingResult<() => number>, number>>,
  Expect<Equals<MissingResult<() => Promise<"guest">>, "guest">>,
  Expect<Equals<MissingResult<undefined>, undefined>>,
  Expect<Equals<MissingResult<{ ok: false }>, { ok: false }>>,
];

compile(() => {
  // Koa without augmentation: the context type is a parameter
  const app = new Koa<Koa.DefaultState, SessionContext<MySession>>();
  const io = new Server<FromClient, FromServer>();
  const bridge = bridgeSession<MySession>(app, io, {
    user: (session) => {
      same<MySession>()(session);
      return session.user;
    },
    valid: (_ctx, session) => session.count >= 0,
    beforeSave: (_ctx, session) => void session.count++,
    onConflict: ({ key, base, mine, theirs }) => {
      same<string>()(key);
      same<unknown>()(base);
      return mine ?? theirs;
    },
    onSessionEnd: { disconnectAfter: 200 },
    origin: ["https://example.com"],
    store: new SessionStore(),
    partitioned: true,
  });
  same<SessionBridge<MySession>>()(bridge);
  same<BasicStore | AtomicStore>()(bridge.store);

  // without a type parameter the data is unknown, not any
  const plain = bridgeSession(new Koa(), new Server());
  same<SessionBridge<SessionData>>()(plain);
  bridgeSession(app, io, null);
  bridgeSession(app, io, { key: null, store: undefined, maxAge: "session" });

  app.use(async (ctx, next) => {
    same<(MySession & NativeSession) | null>()(ctx.session);
    same<string | undefined>()(ctx.sessionId);
    same<string>()(ctx.clientId);
    // @ts-expect-error it may be null
    ctx.session.count;
    ctx.session!.count++;
    ctx.session!.isNew satisfies boolean;
    ctx.session = null;
    ctx.session = { count: 1 };
    // @ts-expect-error a session needs its count
    ctx.session = { user: "ada" };
    // @ts-expect-error no such key
    ctx.session!.cuont;
    same<number>()(await ctx.withSession(({ session }) => session.count));
    same<number | "guest">()(
      await ctx.withSession(({ session }) => session.count, "guest" as const),
    );
    await ctx.regenerateSession();
    await ctx.regenerateSession({ sockets: "leave" });
    await ctx.regenerateSession({ sockets: "reconnect" });
    // @ts-expect-error neither follow, leave nor reconnect
    await ctx.regenerateSession({ sockets: "stay" });
    await next();
  });

  io.on("connection", (raw) => {
    const socket = raw as SessionSocket<MySession>;
    same<string | undefined>()(socket.sessionId);
    same<string | undefined>()(socket.clientId);
    socket.withSession((view) => {
      same<SessionView<MySession, Socket>>()(view);
      same<MySession>()(view.session);
      same<string>()(view.sessionId);
      view.session.count++;
      view.session = { count: 2 };
      view.session = null;
      // @ts-expect-error a count is a number
      view.session = { count: "2" };
      // @ts-expect-error the id is not the handler's to change
      view.sessionId = "x";
    });
    // @ts-expect-error a handler is needed
    socket.withSession();
  });
});

compile(async () => {
  const bridge = value<SessionBridge<MySession>>();
  const view = ({ session }: MyView) => session.count;
  same<Promise<number>>()(bridge.withSession("id", view));
  same<Promise<number>>()(bridge.withSession("id", (v) => v.session.count));
  same<Promise<number | undefined>>()(
    bridge.withSession("id", view, undefined),
  );
  same<Promise<number>>()(bridge.withSession("id", view, new Error("gone")));
  same<Promise<number | string>>()(
    bridge.withSession("id", view, () => Promise.resolve("gone")),
  );
  same<Promise<void>>()(
    bridge.withSession("id", (v) => {
      same<undefined>()(v.socket);
    }),
  );
  same<MySession | undefined>()(await bridge.peek("id"));
  same<boolean>()(await bridge.destroy("id"));
  same<number>()(await bridge.destroyUser("ada", { except: "id" }));
  same<number>()(await bridge.destroyUser("ada", { except: ["a", "b"] }));
  same<number>()(await bridge.destroyUser(7, { only: ["a"], except: "b" }));
  // @ts-expect-error a list that may be undefined
  await bridge.destroyUser("ada", { except: value<string | undefined>() });
  // @ts-expect-error a user has an id
  await bridge.destroyUser(undefined);
  same<UserSession<MySession>[]>()(await bridge.sessionsOf("ada"));
  const current = value<string | undefined>();
  const [one] = await bridge.sessionsOf(7, { current });
  same<string | undefined>()(one?.handle);
  same<number | undefined>()(one?.lastUsed);
  same<unknown>()(one?.meta?.address);
  same<Rooms>()(bridge.toUser(7));
  same<string | undefined>()(await bridge.sessionIdOf("client"));
  same<string | undefined>()(await bridge.clientIdOf("id"));
  same<Rooms>()(bridge.toUser("ada"));
  same<Finding[]>()(bridge.doctor());

  bridge.on("sessionStart", (event) => same<SessionStart>()(event));
  bridge.on("sessionEnd", (event) => {
    same<SessionEnd>()(event);
    same<EndReason>()(event.reason);
    // @ts-expect-error no such member
    event.user;
  });
  bridge.on("userChange", (event) => {
    same<UserChange>()(event);
    same<"new" | "kept">()(event.ids);
    same<string | undefined>()(event.from);
  });
  bridge.once("sessionConflict", ({ keys }) => same<readonly string[]>()(keys));
  bridge.on("error", (error) => same<Error>()(error));
});

compile(async () => {
  // what sessions hold is what the schema makes of them
  const [app, io] = [new Koa(), new Server()];
  interface Inferred {
    user?: string;
    count: number;
  }
  const byZod = bridgeSession(app, io, {
    schema: z.object({ user: z.exactOptional(z.string()), count: z.number() }),
    user: ({ user }) => user,
    view: ({ count }) => count,
    onInvalid: "end",
  });
  same<number | undefined>()((await byZod.peek("id"))?.count);
  const byValibot = bridgeSession(app, io, {
    schema: v.object({ user: v.exactOptional(v.string()), count: v.number() }),
  });
  same<Inferred | undefined>()(await byValibot.peek("id"));
  const byArktype = bridgeSession(app, io, {
    schema: type({ "user?": "string", count: "number" }),
  });
  same<number>()(
    await byArktype.withSession("id", ({ session }) => session.count),
  );
  bridgeSession<MySession>(app, io, {
    schema: v.object({ user: v.exactOptional(v.string()), count: v.number() }),
  });
  bridgeSession<MySession>(app, io, {
    // @ts-expect-error another session
    schema: z.object({ count: z.string() }),
  });
  bridgeSession(app, io, {
    // @ts-expect-error not an object
    schema: z.string(),
  });
});

compile(() => {
  // Koa takes it as it is
  const app = new Koa();
  const bridge = value<SessionBridge>();
  app.use(bridge.refresh());
  same<Promise<number>>()(bridge.cleanup());
  const socket = value<SessionSocket<MySession>>();
  same<SocketContext>()(socket.ctx);
  same<Koa.Context>()(value<SessionSocket<MySession, Koa.Context>>().ctx);
  bridge.on("sessionChange", (event) => same<SessionChange>()(event));
});

compile(() => {
  // an id may be a number, or missing in any way
  const [app, io] = [new Koa(), new Server()];
  bridgeSession<{ id: number | null }>(app, io, {
    user: ({ id }) => id,
    onUserChange: "follow",
    maxSessions: { max: 3, exceed: "refuse" },
  });
  bridgeSession<MySession>(app, io, {
    // @ts-expect-error an id is a string or a number
    user: () => true,
    // @ts-expect-error no such reaction
    onUserChange: "leave",
    // @ts-expect-error neither
    maxSessions: { max: 3, exceed: "newest" },
    // @ts-expect-error an object
    meta: () => "address",
  });
  value<OnUserChange>() satisfies string;

  // callbacks compile on Koa's context and the application's, without an annotation
  bridgeSession<MySession>(app, io, {
    meta: (ctx) => {
      same<CallbackContext>()(ctx);
      same<string>()(ctx.ip);
      same<string>()(ctx.get("user-agent"));
      return { address: ctx.ip, language: ctx.i18n.language() };
    },
    valid: (ctx, { count }) => count > 0 && ctx.cookies.get("x") !== "",
    genid: (ctx) => ctx.state.id + ctx.req.url,
    beforeSave: (ctx) => ctx.log.info(ctx.headers.host),
    externalKey: {
      get: (ctx) => ctx.get("authorization"),
      set: (ctx, id) => ctx.set("authorization", id),
    },
  });
  // and with one
  interface OwnContext extends Koa.Context {
    readonly tenant: string;
  }
  bridgeSession<MySession>(app, io, {
    meta: ({ tenant }: OwnContext) => ({ tenant }),
    valid: (ctx: Koa.Context, session) => ctx.secure && session.count > 0,
    genid: (ctx: Koa.ParameterizedContext) => ctx.host,
    externalKey: {
      get: (ctx: Koa.Context) => ctx.get("authorization"),
      set: (ctx: OwnContext, id) => ctx.set("authorization", id + ctx.tenant),
    },
  });
});

compile(() => {
  // @ts-expect-error not a Koa application
  bridgeSession({}, new Server());
  // @ts-expect-error not a Socket.IO server
  bridgeSession(new Koa(), {});
  bridgeSession(new Koa(), new Server(), {
    // @ts-expect-error a name is a string
    key: 1,
    // @ts-expect-error neither number nor "session"
    maxAge: "forever",
    // @ts-expect-error ms
    onSessionEnd: { disconnectAfter: "200" },
    // @ts-expect-error not a policy
    onConflict: "first",
    // @ts-expect-error a store has get, set and destroy
    store: new Map(),
    // @ts-expect-error not a list of strings
    origin: [1],
  });
  value<OnSessionEnd>() satisfies string | { disconnectAfter: number };
  value<OriginOption>() satisfies unknown;
});

/** A switch over `code` narrows, and the compiler checks that it is complete. */
function told(error: SessionError): string {
  switch (error.code) {
    case "SESSION_MISSING":
      same<SessionMissingError>()(error);
      return "missing";
    case "SESSION_ENDED":
      same<string | undefined>()(error.reason);
      return "ended";
    case "SESSION_CONFLICT":
      return error.keys.join();
    case "SESSION_TIMEOUT":
      return error.what;
    case "SESSION_STORE":
      same<SessionStoreError>()(error);
      return "store";
    case "SESSION_INVALID":
      same<readonly SessionIssue[]>()(error.issues);
      return "invalid";
    case "SESSION_LIMIT":
      same<number>()(error.max);
      return "limit";
  }
}

describe("SessionError", () => {
  it("is distinguished by code", () => {
    const errors = [
      new SessionMissingError(),
      new SessionEndedError("logout"),
      new SessionConflictError(["cart", "name"]),
      new SessionTimeoutError("wait", 1),
      new SessionStoreError("read"),
      new SessionInvalidError([{ message: "wrong", path: ["count"] }]),
      new SessionLimitError(3),
    ];
    assertEquals(errors.map(told), [
      "missing",
      "ended",
      "cart,name",
      "wait",
      "store",
      "invalid",
      "limit",
    ]);
  });
});

describe("the public types", () => {
  it("hold, as this file compiles", () => {
    same<string>()(generateUid());
    assertEquals(typeof SessionBridge, "function");
  });
});
