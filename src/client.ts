/**
 * The client: follows the session of a `socket.io-client` socket in a browser,
 * or on Deno and Node. It reports why a session ended, renews cookies by an HTTP
 * request, as a WebSocket can set none, and reconnects the socket where that is
 * necessary. It never receives an id.
 *
 * @module
 */
import type * as types from "./client/session_client.ts";
import type { WebLocks } from "./client/web_locks.ts";

export type * from "./client/session_client.ts";

/** The key in `socket.auth` that announces this client to the server. */
const AUTH_FLAG = "koa-io-session";
/** The type of the answer of `bridge.refresh()`. */
const ANSWER = "application/vnd.koa-io-session+json";
/** How long an answer to a refresh may take, in ms. */
const REFRESH_TIMEOUT = 10_000;
/** How often a request is repeated until the cookies of a session are set. */
const COOKIE_RETRIES = 6;
/** How many reconnections in a row are made without joining a session. */
const RECONNECT_LIMIT = 3;

/** The {@linkcode SessionClient} of one socket. */
class Follower<View> implements types.SessionClient<View> {
  #snapshot: types.SessionSnapshot<View> = {
    state: "connecting",
    view: undefined,
    reason: undefined,
    reconnecting: false,
  };
  readonly #socket: types.FollowedSocket;
  readonly #options: types.FollowOptions;
  readonly #listeners = new Map<string, Set<(payload: never) => void>>();
  readonly #waits = new Set<() => void>();
  /** Incremented by each event: asynchronous steps of earlier ones then stop. */
  #turn = 0;
  /** The socket is connected, and the server has not yet reported its session. */
  #fresh = false;
  /** The reason to report if the previous session turns out to have ended. */
  #previousEnd: types.EndedReason | undefined;
  /** The server reported the end of the session: a disconnection follows from it. */
  #endReported = false;
  /** The client itself has disconnected the socket. */
  #reconnecting = false;
  #reconnects = 0;
  #refusals = 0;
  #refreshing: Promise<boolean> | undefined;
  #asking: AbortController | undefined;
  #ownAuth: unknown;
  #flaggedAuth: unknown;
  readonly #handlers: Record<string, (payload: never) => void> = {
    "connect": () => {
      this.#fresh = true;
      this.#reconnecting = this.#endReported = false;
      this.#refusals = 0;
    },
    "disconnect": (reason: string) => this.#disconnected(reason),
    "connect_error": (error: { data?: { code?: string } }) =>
      this.#refused(error.data?.code),
    "session:start": () => this.#started(),
    "session:none": (found?: { client: boolean }) => this.#none(found?.client),
    "session:end": ({ reason }: { reason: types.EndedReason }) => {
      this.#turn++;
      this.#fresh = false;
      this.#endReported = true;
      this.#guest(reason);
    },
    "session:rotated": ({ sockets }: { sockets: string }) => {
      if (sockets === "leave") this.#rejoin(COOKIE_RETRIES);
      // the server closes the connection, and the socket reconnects
      else if (sockets === "reconnect") this.#leave();
    },
    "session:expiring": (end: object) => this.#emit("expiring", end),
    "session:view": (view: View) => {
      this.#show({ view });
      this.#emit("view", view);
    },
  };

  constructor(socket: types.FollowedSocket, options: types.FollowOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#listen("on");
    this.#addFlag();
    // a handshake without the flag gets no report of the session
    if (socket.connected) this.#reconnect();
  }

  get state(): types.SessionState {
    return this.#snapshot.state;
  }

  get view(): View | undefined {
    return this.#snapshot.view;
  }

  // bound, as frameworks call them without the client
  readonly getSnapshot = (): types.SessionSnapshot<View> => this.#snapshot;

  readonly subscribe = (
    listener: (snapshot: types.SessionSnapshot<View>) => void,
  ): () => void => this.on("snapshot", () => listener(this.#snapshot));

  /** Changes what the client shows, in an object of its own for each state. */
  #show(changes: Partial<types.SessionSnapshot<View>>): void {
    const last = this.#snapshot;
    const next = this.#snapshot = { ...last, ...changes };
    const names = Object.keys(next) as (keyof typeof next)[];
    if (names.every((name) => next[name] === last[name])) {
      this.#snapshot = last;
      return;
    }
    this.#emit("snapshot");
    if (next.state !== last.state) this.#emit("state", next);
  }

  on(event: string, listener: (payload: never) => void): () => void {
    const own = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, own.add(listener));
    return () => void own.delete(listener);
  }

  async refresh(): Promise<boolean> {
    const there = await this.#refresh();
    if (there && this.state === "guest") this.#reconnect();
    return there;
  }

  #refresh(): Promise<boolean> {
    const done = () => void (this.#refreshing = undefined);
    return this.#refreshing ??= this.#renew().finally(done);
  }

  close(): void {
    this.#listen("off");
    this.#removeFlag();
    this.#leave();
    this.#show({ state: "closed", reconnecting: false });
    this.#listeners.clear();
    this.#asking?.abort();
    for (const wake of this.#waits) wake();
  }

  #started(): void {
    const turn = ++this.#turn;
    // a handshake had the cookies; a login is reported before its response has arrived
    if (this.#fresh) this.#active();
    else if (this.state !== "active") this.#confirm(turn);
    this.#fresh = false;
  }

  #active(): void {
    this.#reconnects = 0;
    this.#previousEnd = "away";
    this.#show({ state: "active", reason: undefined, reconnecting: false });
    this.#emit("active");
  }

  #guest(reason: types.EndedReason | undefined): void {
    this.#previousEnd = undefined;
    const { reason: last } = this.#snapshot;
    this.#show({
      state: "guest",
      view: undefined,
      reason: reason ?? last,
      reconnecting: false,
    });
    if (reason) this.#emit("ended", { reason });
  }

  async #confirm(turn: number): Promise<void> {
    this.#show({ state: "connecting" });
    for (let n = 0; n < COOKIE_RETRIES; n++) {
      // a failed request says nothing about the cookies
      const there = await this.#refresh().catch(() => true);
      if (!there) await this.#wait(n);
      if (turn !== this.#turn) return;
      if (there) break;
    }
    this.#active();
  }

  /** Connected and in no session, although a request may find one. */
  async #none(client: boolean | undefined): Promise<void> {
    const turn = ++this.#turn;
    this.#fresh = false;
    if (client) this.#reconnects = Math.min(this.#reconnects, 1);
    if (this.#reconnects >= (client === false ? RECONNECT_LIMIT : 1)) {
      return this.#guest(this.#previousEnd);
    }
    await this.#wait(this.#reconnects++);
    if (turn !== this.#turn) return;
    const there = await this.#refresh().catch(() => undefined);
    if (turn !== this.#turn) return;
    if (!there) this.#guest(this.#previousEnd);
    // a socket without a client would not receive a login either
    if (there || there === false && client === false) this.#reconnect();
  }

  /** Waits for cookies that a response may set, then reconnects: with them the socket may be in a session. */
  async #rejoin(tries: number): Promise<void> {
    const turn = this.#leave();
    for (let n = 0, there; n < tries && !there; n++) {
      await this.#wait(n);
      if (turn !== this.#turn) return;
      there = await this.#refresh().catch(() => false);
      if (turn !== this.#turn) return;
    }
    this.#reconnects = 1;
    this.#reconnect();
  }

  /** @returns the turn that begins with it */
  #leave(): number {
    if (this.#previousEnd) this.#previousEnd = "rotated";
    this.#show({ state: "connecting", view: undefined });
    return ++this.#turn;
  }

  #disconnected(reason: string): void {
    if (this.#reconnecting) return;
    this.#turn++;
    this.#reconnects = 0;
    this.#show({ state: "connecting", reconnecting: true });
    // reconnect only if the server closed the socket because its session ended
    if (reason === "io server disconnect" && this.#endReported) this.#rejoin(1);
  }

  /** The store may be unavailable for a while; a socket that is refused as a guest may have a session. */
  async #refused(code = ""): Promise<void> {
    if (this.#socket.active) return;
    if (!code.startsWith("SESSION_")) return this.#none(true);
    const turn = ++this.#turn;
    await this.#wait(this.#refusals++);
    if (turn === this.#turn) this.#reconnect();
  }

  /** Opens a new connection: its handshake presents the current cookies. */
  #reconnect(): void {
    const socket = this.#socket;
    this.#turn++;
    this.#addFlag();
    if (socket.connected) {
      this.#show({ state: "connecting" });
      this.#reconnecting = true;
      socket.disconnect();
      // other namespaces share the connection, and are reconnected with it
      const { engine } = socket.io;
      if (engine?.readyState === "open") engine.close();
    }
    if (!socket.active) socket.connect();
  }

  async #renew(): Promise<boolean> {
    const { attempts = 5 } = this.#options;
    for (let n = 1;; n++) {
      const status = this.state === "closed" ? 0 : await this.#ask();
      if (this.state === "closed") {
        throw new Error("Cannot renew the session as the client is closed");
      }
      const there = status >= 200 && status < 300;
      if (there) this.#emit("renewed");
      if (there || status === 401) return there;
      if (n >= attempts || status >= 400 && status < 500 && status !== 429) {
        const received = status || "none";
        throw new Error(
          `Cannot renew the session as the answer must be 2xx or 401: received ${received}`,
        );
      }
      await this.#wait(n - 1);
    }
  }

  /** @returns the status, 0 without an answer */
  async #ask(): Promise<number> {
    const { refresh } = this.#options;
    const { signal } = this.#asking = new AbortController();
    const timer = setTimeout(() => this.#asking?.abort(), REFRESH_TIMEOUT);
    try {
      if (typeof refresh === "function") {
        const aborted = new Promise<never>((_, reject) => {
          signal.onabort = reject;
        });
        return (await Promise.race([refresh(), aborted])).status;
      }
      // simultaneous requests of several tabs would each be given a client id, of which one is kept
      const { locks } = globalThis.navigator as { locks?: WebLocks } ?? {};
      const ask = () => post(refresh, signal);
      return await (locks ? locks.request(AUTH_FLAG, { signal }, ask) : ask());
    } catch {
      return 0;
    } finally {
      clearTimeout(timer);
    }
  }

  #listen(how: "on" | "off"): void {
    for (const handler of Object.entries(this.#handlers)) {
      this.#socket[how](...handler as unknown as never[]);
    }
  }

  /** @param n the number of previous attempts */
  #wait(n: number): Promise<void> {
    const { minDelay = 250, maxDelay = 30_000 } = this.#options;
    const delay = Math.min(minDelay * 2 ** n, maxDelay) / 2;
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waits.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, delay + delay * Math.random());
      this.#waits.add(wake);
    });
  }

  #emit(event: string, payload?: unknown): void {
    for (const listener of [...this.#listeners.get(event) ?? []]) {
      try {
        listener(payload as never);
      } catch (error) {
        // reported as an unhandled rejection; it must not stop the client
        void Promise.reject(error);
      }
    }
  }

  /** Makes the server report at each connect whether the socket is in a session. */
  #addFlag(): void {
    const socket = this.#socket;
    if (socket.auth === this.#flaggedAuth && this.#flaggedAuth) return;
    const auth = this.#ownAuth = socket.auth;
    socket.auth = this.#flaggedAuth = typeof auth === "function"
      ? (back: (data: object) => void) =>
        auth((data: object) => back({ ...data, [AUTH_FLAG]: 1 }))
      : { ...auth as object, [AUTH_FLAG]: 1 };
  }

  #removeFlag(): void {
    const { auth } = this.#socket;
    if (auth !== this.#flaggedAuth) return;
    // later changes of the object stay
    if (typeof auth === "function") this.#socket.auth = this.#ownAuth;
    else delete (auth as Record<string, unknown>)[AUTH_FLAG];
  }
}

async function post(url: string | URL, signal: AbortSignal): Promise<number> {
  const answer = await fetch(url, {
    method: "POST",
    credentials: "include",
    // a redirect to a login page is no renewed session
    redirect: "manual",
    // without it the answer is a 401, which browsers print as an error
    headers: { accept: ANSWER },
    signal,
  });
  if (answer.headers.get("content-type")?.startsWith(ANSWER)) {
    return (await answer.json()).session ? 204 : 401;
  }
  await answer.body?.cancel();
  return answer.status;
}

/**
 * Follows the session of a socket. Call it in the same turn as `io()`, before
 * the socket is connected: one that is connected already is reconnected.
 *
 * @typeParam View what the bridge's option `view` returns
 * @param socket a `socket.io-client` socket
 * @param options see {@linkcode FollowOptions}
 * @throws {TypeError} when the option `refresh` is missing
 *
 * @example
 * ```ts
 * import { io } from "socket.io-client";
 * import { followSession } from "@koa-io/session/client";
 * import { assertEquals } from "@std/assert";
 *
 * const socket = io("http://localhost:3000", { autoConnect: false });
 * const client = followSession<{ user: string }>(socket, { refresh: "/refresh" });
 * client.on("view", ({ user }) => console.log(`hello ${user}`));
 * assertEquals(client.state, "connecting");
 * ```
 */
export function followSession<View = unknown>(
  socket: types.FollowedSocket,
  options: types.FollowOptions,
): types.SessionClient<View> {
  if (!options?.refresh) {
    throw new TypeError(
      `Cannot follow the session as refresh must be a path, a URL or a function: received ${options?.refresh}`,
    );
  }
  return new Follower<View>(socket, options);
}
