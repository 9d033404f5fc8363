/**
 * The bridge: one session for a Koa application and a Socket.IO server.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import type SocketIO from "socket.io";
import type { Server } from "socket.io";
import { refuse } from "./base/arguments.ts";
import { BridgeParts } from "./bridge/parts.ts";
import { diagnose, type Finding } from "./bridge/doctor.ts";
import type { BridgeEvents } from "./api/events.ts";
import {
  assertBridgeable,
  ensureAppKeys,
  markBridged,
} from "./bridge/preconditions.ts";
import { hashId } from "./base/ids.ts";
import type { KoaApplication, RefreshContext } from "./api/koa.ts";
import type { BridgeOptions, ResolvedOptions } from "./api/options.ts";
import { resolveOptions } from "./options/resolve.ts";
import type { SessionStore } from "./stores/memory.ts";
import { type BridgeStats, statsOf } from "./bridge/stats.ts";
import {
  type AtomicStore,
  type BasicStore,
  isAlive,
  type SessionData,
} from "./api/store.ts";
import { sessionCall } from "./transaction/session_call.ts";
import type { Transactions } from "./transaction/transactions.ts";
import type { MissingResult, SessionView } from "./api/session_view.ts";
import type { SocketServer } from "./api/session_socket.ts";
import { refresh } from "./http/middleware.ts";
import { clientRoom, sessionRoom, userRoom } from "./sockets/rooms.ts";

/** A Socket.IO operator that emits to rooms. */
export type Rooms = SocketIO.BroadcastOperator<
  SocketIO.DefaultEventsMap,
  unknown
>;

/** A live session of a user. */
export interface UserSession<S extends object = SessionData> {
  /** The session's id. */
  readonly sessionId: string;
  /** The client that it is bound to. */
  readonly clientId: string | undefined;
  /** A copy of its data. */
  readonly session: S;
  /** When it ends unless something happens, ms since the epoch. */
  readonly expires: number;
}

/**
 * One session over HTTP and Socket.IO. Made by {@linkcode bridgeSession}.
 *
 * @typeParam S what a session holds
 *
 * @example
 * ```ts
 * import Koa from "koa";
 * import { Server } from "socket.io";
 * import { SessionBridge } from "@koa-io/session";
 * import { assertEquals } from "@std/assert";
 *
 * const app = new Koa();
 * await using bridge = new SessionBridge(app, new Server(), { appKeys: ["secret"], key: "sid" });
 * assertEquals(bridge.stats().sessions, 0);
 * ```
 */
export class SessionBridge<S extends object = SessionData>
  extends EventEmitter<BridgeEvents> {
  /** The active store. */
  readonly store: BasicStore | AtomicStore;

  readonly #io: Server;
  readonly #options: ResolvedOptions;
  readonly #randomKeys: boolean;
  readonly #parts: BridgeParts;
  readonly #transactions: Transactions;
  readonly #unmark: () => void;
  #closed: Promise<void> | undefined;

  /**
   * Installs itself on the application and the server.
   *
   * @param app a Koa application that has no session yet
   * @param io a Socket.IO server, attached to an HTTP server or not yet
   * @param options see {@linkcode BridgeOptions}
   * @throws {TypeError} for an argument or option of the wrong type, or an app that has a session already
   * @throws {RangeError} for an option out of range
   */
  constructor(
    app: KoaApplication,
    io: SocketServer,
    options?: BridgeOptions<S> | null,
  ) {
    super();
    assertBridgeable(app, io);
    const resolved = resolveOptions(options);
    this.#randomKeys = ensureAppKeys(app, resolved);
    this.#io = io;
    this.#options = resolved;
    this.#parts = new BridgeParts(
      app,
      this.#io,
      resolved,
      (event, ...args) => this.emit(event, ...args as never),
      (error) => this.#failed(error),
    );
    this.#transactions = this.#parts.transactions;
    this.store = this.#parts.opened.store;
    this.#unmark = markBridged(app, io);
  }

  /**
   * Runs a handler on a session, alone: calls for one session run one after
   * another, in order of arrival, wherever they come from. A handler that
   * throws changes nothing; a changed session is written, an unchanged one is
   * not; `session = null` destroys it. A call from inside a handler of the
   * same session joins it.
   *
   * @param sessionId the session's id
   * @param handler gets `sessionId`, `session` and `socket`
   * @param onMissing when there is no such session: an `Error` is thrown, a function called, any
   * other value returned; left out, a `SessionMissingError` is thrown
   * @returns what the handler returns
   * @throws {SessionMissingError} when there is no such session and `onMissing` is left out
   * @throws {SessionEndedError} when the session ended while the handler was running
   * @throws {SessionTimeoutError} when a wait or a hold went past `lockTimeout`
   * @throws {SessionStoreError} when the store failed
   */
  withSession<R>(
    sessionId: string,
    handler: (view: SessionView<S, undefined>) => R | Promise<R>,
  ): Promise<R>;
  /** The same, with something to do when there is no session. */
  withSession<R, M>(
    sessionId: string,
    handler: (view: SessionView<S, undefined>) => R | Promise<R>,
    onMissing: M,
  ): Promise<R | MissingResult<M>>;
  async withSession(sid: unknown, ...args: unknown[]): Promise<unknown> {
    return await this.#transactions.run(
      need("sessionId", sid),
      sessionCall(args),
      {},
    );
  }

  /**
   * A copy of a session's data, without waiting for a transaction.
   *
   * @param sessionId the session's id
   * @returns the copy, or `undefined` when there is no such session
   * @throws {SessionStoreError} when the store failed
   */
  async peek(sessionId: string): Promise<S | undefined> {
    const record = await this.#transactions.lookup.load(
      need("sessionId", sessionId),
    );
    return isAlive(record) ? JSON.parse(record.data) as S : undefined;
  }

  /**
   * Ends a session at once, also while a transaction runs on it. When this
   * resolves, no local socket is in its rooms any more.
   *
   * @param sessionId the session's id
   * @returns whether there was a live one
   * @throws {SessionStoreError} when the store failed
   */
  async destroy(sessionId: string): Promise<boolean> {
    return await this.#transactions.end(
      need("sessionId", sessionId),
      "revoked",
    );
  }

  /**
   * Ends the sessions of a user: log out everywhere. Needs the option `user`.
   *
   * @param user as the option `user` returns it
   * @param options `except`: the id, or ids, of sessions to leave alone
   * @returns how many sessions ended
   * @throws {SessionStoreError} when the store failed
   */
  async destroyUser(
    user: string,
    options?: { readonly except?: string | readonly string[] | undefined },
  ): Promise<number> {
    const { except = [] } = options ?? {};
    const excepted = new Set(typeof except === "string" ? [except] : except);
    const own = await this.#transactions.lookup.ofUser(need("user", user));
    const ended = await Promise.all(
      own.filter(({ sid }) => !excepted.has(sid))
        .map(({ sid, record }) =>
          this.#transactions.end(sid, "revoked", { record })
        ),
    );
    return ended.filter(Boolean).length;
  }

  /**
   * The live sessions of a user, for a page of active devices. Needs the option `user`.
   *
   * @param user as the option `user` returns it
   * @throws {SessionStoreError} when the store failed
   */
  async sessionsOf(user: string): Promise<UserSession<S>[]> {
    const own = await this.#transactions.lookup.ofUser(
      need("user", user),
      true,
    );
    return own.map(({ sid, record }) => ({
      sessionId: sid,
      clientId: record.clientId,
      session: JSON.parse(record.data) as S,
      expires: record.expires,
    }));
  }

  /** The session that a client has now, if it has one. */
  async sessionIdOf(clientId: string): Promise<string | undefined> {
    return (await this.#transactions.lookup.ofClient(
      need("clientId", clientId),
    ))?.sid;
  }

  /** The client that a live session is bound to. */
  async clientIdOf(sessionId: string): Promise<string | undefined> {
    const record = await this.#transactions.lookup.find(
      need("sessionId", sessionId),
    );
    return isAlive(record) ? record.clientId : undefined;
  }

  /**
   * The sockets of a session, on every process. They are in rooms for this
   * from the first such call, or from the start where other processes may ask.
   *
   * @param sessionId the session's id
   * @param nsp the namespace
   * @returns a Socket.IO operator: `.emit(…)` and the like
   */
  toSession(sessionId: string, nsp: string = "/"): Rooms {
    const hash = hashId(need("sessionId", sessionId));
    return this.#to(sessionRoom(hash), nsp);
  }

  /** The sockets of a client, while it has a session. See {@linkcode SessionBridge.toSession}. */
  toClient(clientId: string, nsp: string = "/"): Rooms {
    return this.#to(clientRoom(need("clientId", clientId)), nsp);
  }

  /** The sockets of all sessions of a user. See {@linkcode SessionBridge.toSession}. */
  toUser(user: string, nsp: string = "/"): Rooms {
    return this.#to(userRoom(need("user", user)), nsp);
  }

  /**
   * Makes the middleware that `./client` asks to renew session and cookies:
   * 204 where there is a session, which is saved and lives on from now, else
   * 401. Either way the client cookie is sent. Any method is answered.
   *
   * @returns a Koa middleware; it calls no other
   *
   * @example
   * ```ts
   * import Koa from "koa";
   * import { Server } from "socket.io";
   * import { bridgeSession } from "@koa-io/session";
   *
   * const app = new Koa();
   * await using bridge = bridgeSession(app, new Server(), { appKeys: ["secret"], key: "sid" });
   * const refresh = bridge.refresh();
   * app.use((ctx, next) => ctx.path === "/session/refresh" ? refresh(ctx) : next());
   * ```
   */
  refresh(): (ctx: RefreshContext) => Promise<void> {
    const { http } = this.#parts;
    return (ctx) => refresh(ctx, (ctx) => http.rollClient(ctx));
  }

  /**
   * Removes expired sessions, where the store has a method `cleanup`.
   *
   * @returns the number of removed sessions, as far as the store reports it
   * @throws what the store throws
   */
  async cleanup(): Promise<number> {
    const { store } = this as { store: { cleanup?(): unknown } };
    const removed = await store.cleanup?.();
    return typeof removed === "number" ? removed : 0;
  }

  /** Counters, for a dashboard. */
  stats(): BridgeStats {
    return statsOf(this.#parts);
  }

  /** Findings about this set-up. */
  doctor(): Finding[] {
    return diagnose(this.#parts.setupReport(this.#randomKeys));
  }

  /**
   * Undoes hooks and timers: requests and sockets pass untouched from now on.
   * A store that the bridge made itself is closed. Neither the application nor
   * the server is.
   */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  /** The same as {@linkcode SessionBridge.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #to(room: string, nsp: string): Rooms {
    this.#parts.rooms.enable();
    return this.#io.of(nsp).to(room);
  }

  async #close(): Promise<void> {
    this.#unmark();
    this.#parts.close();
    if (this.#options.ownStore) await (this.store as SessionStore).close();
  }

  #failed(error: unknown): void {
    if (this.listenerCount("error") === 0) return;
    this.emit(
      "error",
      error instanceof Error ? error : new Error(String(error)),
    );
  }
}

/**
 * Bridges koa-session and Socket.IO: one session over HTTP and sockets.
 *
 * @param app a Koa application that has no session yet
 * @param io a Socket.IO server, attached to an HTTP server or not yet
 * @param options see {@linkcode BridgeOptions}; may be left out
 * @returns the bridge; it has installed itself
 * @throws {TypeError} for an argument or option of the wrong type, or an app that has a session already
 * @throws {RangeError} for an option out of range
 *
 * @example
 * ```ts ignore
 * import { createServer } from "node:http";
 * import Koa from "koa";
 * import { Server } from "socket.io";
 * import bridgeSession, { type SessionSocket } from "@koa-io/session";
 *
 * const app = new Koa();
 * app.keys = ["a secret that stays"];
 * const io = new Server();
 * bridgeSession(app, io, { key: "sid" });
 *
 * app.use((ctx) => {
 *   ctx.session!.user = "ada";
 *   ctx.body = "hello";
 * });
 * io.on("connection", (raw) => {
 *   const socket = raw as SessionSocket<{ user?: string }>;
 *   socket.on("user", async (reply) => {
 *     reply(await socket.withSession(({ session }) => session.user, "a guest"));
 *   });
 * });
 * const server = createServer(app.callback());
 * io.attach(server);
 * server.listen(3000);
 * ```
 */
export function bridgeSession<S extends object = SessionData>(
  app: KoaApplication,
  io: SocketServer,
  options?: BridgeOptions<S> | null,
): SessionBridge<S> {
  return new SessionBridge<S>(app, io, options);
}

function need(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  refuse("look a session up", name, "a string", value);
}
