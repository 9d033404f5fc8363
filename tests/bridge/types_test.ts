/** Compile-time checks of the public types: a check that fails does so before anything runs. `@ts-expect-error` marks what must be refused. */
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
  type ClientEvents,
  type Conflict,
  type DestroyUserOptions,
  type EndReason,
  type ExternalKey,
  type Finding,
  generateUid,
  type MissingResult,
  type NativeSession,
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
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  compile,
  type Equals,
  type Expect,
  type Fits,
  type IsAny,
  type Leaking,
  same,
  value,
} from "../support/types.ts";

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
