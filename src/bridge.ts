/**
 * The bridge: a Koa application, a Socket.IO server and a store, wired together.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import { ServerResponse } from "node:http";
import type SocketIO from "socket.io";
import type { Server, Socket } from "socket.io";
import { BasicRecords } from "./basic.ts";
import { Bindings } from "./binding.ts";
import { Clients } from "./clients.ts";
import { reachesOthers } from "./cluster.ts";
import { diagnose, type Finding } from "./doctor.ts";
import { isAlive, type Records } from "./door.ts";
import { SessionStoreError } from "./errors.ts";
import type { BridgeEvents, EndReason } from "./events.ts";
import { HttpSessions } from "./http.ts";
import { generateUid, hashId } from "./ids.ts";
import type { KoaApplication, KoaContext } from "./koa.ts";
import type { Missing } from "./missing.ts";
import {
  type BridgeOptions,
  type ResolvedOptions,
  resolveOptions,
} from "./options.ts";
import { Lifecycle, type LifecycleParts } from "./lifecycle.ts";
import { OriginGate } from "./origin.ts";
import { Reconciler } from "./reconcile.ts";
import { clientRoom, sessionRoom, userRoom } from "./rooms.ts";
import type { SessionView } from "./scope.ts";
import { SetupWatch } from "./setup.ts";
import { SocketSessions } from "./socket.ts";
import {
  type AtomicStore,
  type BasicStore,
  type RemovalReason,
  type SessionData,
  type SessionRecord,
  SessionStore,
  type SharedStore,
} from "./store.ts";
import { missingPolicy } from "./missing.ts";
import { type Handler, Transactions } from "./transaction.ts";

/** What the bridge uses of a Socket.IO server. */
export interface SocketServer {
  /** The default namespace. */
  readonly sockets: object;
  /** A namespace. */
  of(name: string): object;
}

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

/** Plain numbers about a bridge. */
export interface BridgeStats {
  /** Live sessions that this process has met. */
  readonly sessions: number;
  /** Local sockets that follow a client. */
  readonly sockets: number;
  /** Transactions that ran. */
  readonly transactions: number;
  /** How many of them had to wait. */
  readonly waits: number;
  /** Writes that met another's change of the same key. */
  readonly conflicts: number;
  /** Waits and holds that went past `lockTimeout`. */
  readonly timeouts: number;
  /** Sessions that ended, by reason. */
  readonly ended: Readonly<Record<EndReason, number>>;
}

const REMOVED: Readonly<Record<RemovalReason, EndReason>> = {
  destroyed: "revoked",
  expired: "expired",
  evicted: "evicted",
  moved: "rotated",
};

const bridgedApps = new WeakSet<object>();
const bridgedServers = new WeakSet<object>();

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
  readonly #records: Records;
  readonly #transactions: Transactions;
  readonly #clients: Clients<Socket>;
  readonly #bindings: Bindings<Socket>;
  readonly #http: HttpSessions<Socket>;
  readonly #sockets: SocketSessions;
  readonly #origin: OriginGate;
  readonly #setup: SetupWatch;
  readonly #lifecycle: Lifecycle;
  readonly #parts: LifecycleParts;
  readonly #reconciler: Reconciler<Socket> | undefined;
  readonly #undo: (() => void)[] = [];
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
    refuseUnfit(app, io);
    const resolved = resolveOptions(options);
    this.#randomKeys = provideKeys(app, resolved);
    this.#io = io as Server;
    this.#options = resolved;
    this.#lifecycle = new Lifecycle(
      this.#io,
      (event, ...args) => this.emit(event, ...args as never),
      (error) => this.#failed(error),
      () => this.#parts,
    );
    const { records, store, told } = this.#openStore(resolved);
    this.store = store;
    this.#records = records;
    const lifecycle = this.#lifecycle;
    this.#clients = new Clients((known) => void lifecycle.due(known), {
      watchAll: !told,
      hashAll: records.scope === "shared",
    });
    this.#transactions = new Transactions(records, resolved, {
      created: (sid, record) => void lifecycle.began(sid, record, "created"),
      written: (sid, record) => lifecycle.written(sid, record),
      ended: (sid, record, reason) => lifecycle.over(sid, record, reason),
      rotated: (from, to, record, before, sockets) =>
        lifecycle.rotated(from, to, record, before, sockets),
      missed: (sid) => lifecycle.missed(sid),
      conflict: (event) => void this.emit("sessionConflict", event),
    });
    this.#bindings = new Bindings(
      this.#transactions,
      this.#clients,
      (sid, record) => void lifecycle.began(sid, record, "rebuilt"),
      (from, sid, record) => lifecycle.moved(from, sid, record),
    );
    this.#http = new HttpSessions(
      app,
      resolved,
      this.#transactions,
      this.#bindings,
    );
    this.#setup = new SetupWatch(() => this.#http.ran);
    this.#origin = new OriginGate(
      app,
      resolved.origin,
      (req) => new ServerResponse(req),
      () =>
        this.#setup.watch(
          (this.#io as unknown as { httpServer?: unknown }).httpServer,
        ),
    );
    const shared = records.scope === "shared"
      ? records as SharedStore
      : undefined;
    const byHash = async (hash: string) => await shared?.byHash(hash);
    this.#sockets = this.#bridgeSockets(app, resolved, byHash);
    this.#parts = {
      transactions: this.#transactions,
      clients: this.#clients,
      sockets: this.#sockets,
      byHash,
    };
    if (shared) {
      this.#reconciler = new Reconciler(
        shared,
        this.#clients,
        resolved.reconcileInterval,
        {
          gone: (known) => lifecycle.gone(known),
          guest: (client) => lifecycle.guest(client),
          failed: (error) => this.#failed(error),
        },
      );
    }
    this.#origin.attach(io);
    bridgedApps.add(app);
    bridgedServers.add(io);
    this.#undo.push(() => bridgedServers.delete(io));
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
  ): Promise<R | Missing<M>>;
  async withSession(...args: unknown[]): Promise<unknown> {
    const [sid, ...rest] = args;
    const missing = missingPolicy(rest);
    return await this.#transactions.run(
      need("sessionId", sid),
      rest[0] as Handler<unknown>,
      missing,
      {},
    );
  }

  /**
   * A copy of a session's data, without waiting for anybody.
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
   * Ends a session at once, whoever is at work on it. When this resolves, no
   * local socket is in its rooms any more.
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
    const spared = new Set(typeof except === "string" ? [except] : except);
    const own = await this.#transactions.lookup.ofUser(need("user", user));
    const ended = await Promise.all(
      own.filter(({ sid }) => !spared.has(sid))
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
    const own = await this.#transactions.lookup.ofUser(need("user", user));
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
    const record = await this.#transactions.lookup.load(
      need("sessionId", sessionId),
    );
    return isAlive(record) ? record.clientId : undefined;
  }

  /**
   * The sockets of a session, on every process.
   *
   * @param sessionId the session's id
   * @param nsp the namespace
   * @returns a Socket.IO operator: `.emit(…)` and the like
   */
  toSession(sessionId: string, nsp: string = "/"): Rooms {
    return this.#io.of(nsp).to(
      sessionRoom(hashId(need("sessionId", sessionId))),
    );
  }

  /** The sockets of a client, while it has a session. See {@linkcode SessionBridge.toSession}. */
  toClient(clientId: string, nsp: string = "/"): Rooms {
    return this.#io.of(nsp).to(clientRoom(need("clientId", clientId)));
  }

  /** The sockets of all sessions of a user. See {@linkcode SessionBridge.toSession}. */
  toUser(user: string, nsp: string = "/"): Rooms {
    return this.#io.of(nsp).to(userRoom(need("user", user)));
  }

  /** Plain numbers, for a dashboard. */
  stats(): BridgeStats {
    const { count, editor, door } = this.#transactions;
    return {
      sessions: this.#clients.sessions,
      sockets: this.#clients.sockets,
      transactions: count,
      waits: door.waits,
      conflicts: editor.conflicts,
      timeouts: door.timeouts,
      ended: { ...this.#lifecycle.ended },
    };
  }

  /** What is amiss in this set-up. */
  doctor(): Finding[] {
    const { opts, engine } = this.#io as unknown as {
      opts?: { connectionStateRecovery?: unknown };
      engine?: { opts?: { cors?: { credentials?: boolean } } };
    };
    return diagnose({
      options: this.#options,
      randomKeys: this.#randomKeys,
      scope: this.#records.scope,
      manyNodes: reachesOthers(this.#io),
      recovery: Boolean(opts?.connectionStateRecovery),
      ran: this.#http.ran,
      missed: this.#setup.missed,
      sampleIds: this.#options.ownGenid ? sample(this.#options.genid) : [],
      corsCredentials: engine?.opts?.cors?.credentials === true,
    });
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

  async #close(): Promise<void> {
    for (const undo of this.#undo.splice(0)) undo();
    this.#http.close();
    this.#sockets.close();
    this.#origin.close();
    this.#setup.close();
    this.#lifecycle.close();
    this.#reconciler?.close();
    this.#clients.close();
    if (this.#options.ownStore) await (this.store as SessionStore).close();
  }

  #openStore(
    options: ResolvedOptions,
  ): { records: Records; store: BasicStore | AtomicStore; told: boolean } {
    const { store, ContextStore } = options;
    if (ContextStore) {
      const made = new WeakMap<object, BasicStore>();
      const records = basicRecords(options, false, (ctx) => {
        if (typeof ctx !== "object" || ctx === null) {
          throw new SessionStoreError(
            "Cannot reach the session by its id alone as a ContextStore needs a Koa context",
          );
        }
        let own = made.get(ctx);
        if (!own) made.set(ctx, own = new ContextStore(ctx as never));
        return own;
      });
      return {
        records,
        store: ContextStore.prototype as BasicStore,
        told: false,
      };
    }
    if (store instanceof SessionStore) {
      const removed = (
        sid: string,
        reason: RemovalReason,
        record: SessionRecord,
      ) => this.#lifecycle.removed(sid, REMOVED[reason], record);
      store.on("removed", removed);
      this.#undo.push(() => store.off("removed", removed));
      return { records: store, store, told: true };
    }
    if (isAtomic(store!)) return { records: store, store, told: false };
    return { ...this.#openBasic(options, store!), store: store! };
  }

  #openBasic(
    options: ResolvedOptions,
    store: BasicStore,
  ): { records: Records; told: boolean } {
    const records = basicRecords(
      options,
      typeof store.on === "function",
      () => store,
    );
    const listener = (_store: unknown, sid: string) => {
      records.removed(sid);
      this.#lifecycle.missed(sid);
    };
    if (typeof store.on === "function") {
      store.on("destroy", listener);
      this.#undo.push(() => void store.off?.("destroy", listener));
    }
    return { records, told: false };
  }

  #bridgeSockets(
    app: KoaApplication,
    options: ResolvedOptions,
    byHash: (hash: string) => Promise<string | undefined>,
  ): SocketSessions {
    return new SocketSessions(this.#io, {
      transactions: this.#transactions,
      bindings: this.#bindings,
      clients: this.#clients,
      onSessionEnd: options.onSessionEnd,
      touchInterval: options.touchInterval,
      storeTimeout: options.storeTimeout,
      contextOf: ({ request, handshake }) => {
        const ctx = app.createContext(request, new ServerResponse(request));
        return Object.assign(ctx as object, { handshake });
      },
      ids: (ctx) =>
        this.#origin.isGuest((ctx as KoaContext).req)
          ? { sid: undefined, clientId: undefined }
          : this.#http.ids(ctx as KoaContext),
      valid: (ctx, session) =>
        Boolean(options.valid?.(ctx as never, session as never) ?? true),
      byHash,
      met: (sid, record) => this.#lifecycle.began(sid, record, "rebuilt"),
      failed: (error) => this.#failed(error),
    });
  }

  #failed(error: unknown): void {
    this.#reconciler?.soon();
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
 *   socket.on("who", async (reply) => {
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

function refuseUnfit(app: unknown, io: unknown): void {
  const koa = app as KoaApplication | undefined | null;
  if (
    typeof koa?.use !== "function" || typeof koa.createContext !== "function"
  ) {
    throw new TypeError(
      `Cannot bridge sessions as app must be a Koa application: received ${
        describe(app)
      }`,
    );
  }
  const server = io as Server | undefined | null;
  if (typeof server?.of !== "function" || !(server._nsps instanceof Map)) {
    throw new TypeError(
      `Cannot bridge sessions as io must be a Socket.IO server: received ${
        describe(io)
      }`,
    );
  }
  if (bridgedApps.has(koa)) {
    throw new TypeError(
      "Cannot bridge sessions as app has a bridge already: one is enough",
    );
  }
  if (bridgedServers.has(server)) {
    throw new TypeError(
      "Cannot bridge sessions as io has a bridge already: one is enough",
    );
  }
  // koa-session would go on with its first options and say nothing
  if (Object.hasOwn(koa.context, "sessionOptions")) {
    throw new TypeError(
      "Cannot bridge sessions as app has koa-session already: the bridge brings its own",
    );
  }
}

function describe(value: unknown): string {
  return value === null
    ? "null"
    : Array.isArray(value)
    ? "an array"
    : typeof value;
}

/** Sees to it that there are keys to sign with; says whether they are random. */
function provideKeys(
  app: KoaApplication,
  { appKeys, signed }: ResolvedOptions,
): boolean {
  // an empty list signs nothing
  const given = Array.isArray(app.keys) ? app.keys.length > 0 : app.keys;
  if (given) {
    if (!appKeys) return false;
    throw new TypeError(
      "Cannot bridge sessions as the option appKeys must be left out where app.keys are set: received both",
    );
  }
  app.keys = appKeys ? [...appKeys] : [generateUid(32), generateUid(32)];
  if (appKeys) return false;
  if (signed) {
    console.warn(
      "[koa-io-session] app.keys are not set: random ones sign the cookies, and a restart logs everybody out. Set app.keys, or the option appKeys.",
    );
  }
  return true;
}

function basicRecords(
  { rolling, maxAge }: ResolvedOptions,
  told: boolean,
  pick: (ctx: unknown) => BasicStore,
): BasicRecords {
  return new BasicRecords(pick, { told, rolling, maxAge });
}

function isAtomic(store: BasicStore | AtomicStore): store is AtomicStore {
  return "scope" in store &&
    (store.scope === "process" || store.scope === "shared");
}

function sample(genid: (ctx: never) => string): readonly string[] {
  try {
    const id = genid({ state: {} } as never);
    return typeof id === "string" ? [id] : [];
  } catch {
    // it needs a real request: nothing to judge
    return [];
  }
}

function need(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw new TypeError(
    `Cannot look a session up as ${name} must be a string: received ${
      describe(value)
    }`,
  );
}
