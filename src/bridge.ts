/**
 * The bridge: one session for a Koa application and a Socket.IO server.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import type SocketIO from "socket.io";
import type { Server } from "socket.io";
import { refuse } from "./base/arguments.ts";
import {
  AllSessions,
  type DestroyAllOptions,
  type ListedSession,
} from "./bridge/all_sessions.ts";
import { BridgeParts } from "./bridge/parts.ts";
import { diagnose, type Finding } from "./bridge/doctor.ts";
import type { BridgeEvents } from "./api/events.ts";
import {
  assertBridgeable,
  ensureAppKeys,
  markBridged,
  warnOfUnknown,
} from "./bridge/preconditions.ts";
import { hashId } from "./base/ids.ts";
import type { KoaApplication, RefreshContext } from "./api/koa.ts";
import type { BridgeOptions, ResolvedOptions } from "./api/options.ts";
import { resolveOptions } from "./options/resolve.ts";
import type { SessionStore } from "./stores/memory.ts";
import { type BridgeStats, statsOf } from "./bridge/stats.ts";
import {
  type DestroyUserOptions,
  type UserSession,
  UserSessions,
} from "./bridge/user_sessions.ts";
import {
  type AtomicStore,
  type BasicStore,
  isAlive,
  type SessionData,
} from "./api/store.ts";
import { sessionCall } from "./transaction/session_call.ts";
import type { Transactions } from "./transaction/transactions.ts";
import type { MissingResult, SessionView } from "./api/session_view.ts";
import type { SocketServer, SocketSession } from "./api/session_socket.ts";
import { refresh } from "./http/refresh.ts";

/** A Socket.IO operator that emits to rooms. */
export type Rooms = SocketIO.BroadcastOperator<
  // its DefaultEventsMap, which Socket.IO exports since 4.8 only
  SocketIO.Server extends SocketIO.Server<infer Events> ? Events : never,
  unknown
>;

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
  readonly #users: UserSessions;
  readonly #all: AllSessions;
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
    this.#users = new UserSessions(this.#transactions, !!resolved.user);
    this.#all = new AllSessions(this.#transactions);
    warnOfUnknown(resolved.unknown);
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
   * @param options `only`: the handle or id of the session to end, or several; `except`: of those to
   * leave alone. What is no session of this user is ignored
   * @returns how many sessions ended
   * @throws {TypeError} without the option `user`, and for `only` or `except` that is given as `undefined`
   * @throws {SessionStoreError} when the store failed
   */
  async destroyUser(
    user: string | number,
    options?: DestroyUserOptions,
  ): Promise<number> {
    return await this.#users.destroy(user, options);
  }

  /**
   * The live sessions of a user, for a page of active devices. Needs the option `user`.
   *
   * @param user as the option `user` returns it
   * @param options `current`: the id of the caller's own session, which is marked
   * @throws {TypeError} without the option `user`
   * @throws {SessionStoreError} when the store failed
   */
  async sessionsOf(
    user: string | number,
    options?: { readonly current?: string | undefined },
  ): Promise<UserSession<S>[]> {
    return await this.#users.list<S>(user, options?.current);
  }

  /**
   * All live sessions of the store, as they are read: a page of them, a report.
   * Sessions that begin, end or get another id meanwhile may be missing. On a
   * basic store, those that this process has read or written.
   *
   * @returns an async iterator over what is known of each; no id, and no data
   * @throws {TypeError} when the store is one of your own without `scan`
   * @throws {SessionStoreError} when the store failed
   */
  sessions(): AsyncGenerator<ListedSession, void, undefined> {
    return this.#all.list();
  }

  /**
   * Ends all sessions, or those of a condition, as {@linkcode SessionBridge.destroy}
   * does; also those that get another id meanwhile. Sessions that begin meanwhile may stay.
   *
   * @param options `where`: whether to end a session
   * @returns how many sessions ended
   * @throws {TypeError} for `where` that is no function, or returns no boolean
   * @throws {SessionStoreError} when the store failed: some may have ended
   *
   * @example
   * ```ts
   * import Koa from "koa";
   * import { Server } from "socket.io";
   * import { bridgeSession } from "@koa-io/session";
   * import { assertEquals } from "@std/assert";
   *
   * await using bridge = bridgeSession(new Koa(), new Server(), { appKeys: ["secret"], key: "sid" });
   * const before = Date.now() - 7 * 86_400_000;
   * const ended = await bridge.destroyAll({ where: ({ lastUsed = 0 }) => lastUsed < before });
   * assertEquals(ended, 0);
   * ```
   */
  async destroyAll(options?: DestroyAllOptions): Promise<number> {
    return await this.#all.destroy(options);
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
   * A socket with the members that the bridge has added to it, and its own type
   * with its own events.
   *
   * @param socket the socket of a `connection` event
   * @returns the same socket
   * @throws {TypeError} when it is no socket of this bridge
   */
  socket<T extends object>(socket: T): T & SocketSession<S, T> {
    const { extension } = this.#parts;
    if (Object(socket) === socket && extension.extends(socket as never)) {
      return socket as T & SocketSession<S, T>;
    }
    refuse("use the socket", "socket", "one of this bridge", socket);
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
    return this.#to(this.#parts.rooms.names.session(hash), nsp);
  }

  /** The sockets of a client, while it has a session. See {@linkcode SessionBridge.toSession}. */
  toClient(clientId: string, nsp: string = "/"): Rooms {
    const { names } = this.#parts.rooms;
    return this.#to(names.client(need("clientId", clientId)), nsp);
  }

  /** The sockets of all sessions of a user; needs the option `user`. See {@linkcode SessionBridge.toSession}. */
  toUser(user: string | number, nsp: string = "/"): Rooms {
    const id = this.#users.idOf("reach the sockets of a user", user);
    return this.#to(this.#parts.rooms.names.user(id), nsp);
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
   * the server is; another bridge may be made for both, and takes the place of
   * this one.
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

  /** Emits an error; returns whether anybody listens. */
  #failed(error: unknown): boolean {
    return this.listenerCount("error") > 0 && this.emit(
      "error",
      error instanceof Error ? error : new Error(String(error)),
    );
  }
}

function need(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  refuse("look a session up", name, "a string", value);
}
