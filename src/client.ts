/**
 * The other end: follows the session of a `socket.io-client` socket in a
 * browser, or on Deno and Node. Hears why a session ended, makes the one HTTP
 * request that renews cookies, as a WebSocket can set none, and connects the
 * socket anew where that is what it takes. It never sees an id.
 *
 * ```html
 * <script src="/socket.io/socket.io.js"></script>
 * <script type="module">
 *   import { followSession } from "./client.js";
 *
 *   const client = followSession(io(), { refresh: "/session/refresh" });
 *   client.on("ended", ({ reason }) => alert(`Logged out: ${reason}`));
 * </script>
 * ```
 *
 * @module
 */

/** What is used of a `socket.io-client` socket. */
export interface FollowedSocket {
  /** Whether it is connected. */
  readonly connected: boolean;
  /** Whether it is connected, or will connect by itself. */
  readonly active: boolean;
  /** What it says of itself when it connects: an object, or a function that is called back. */
  auth: unknown;
  /** Its manager, which may serve other sockets too. */
  readonly io: {
    readonly engine?: { readonly readyState: string; close(): unknown };
  };
  /** Adds a listener. */
  on(event: string, listener: (payload: never) => void): unknown;
  /** Removes a listener. */
  off(event: string, listener: (payload: never) => void): unknown;
  /** Connects. */
  connect(): unknown;
  /** Disconnects, until told to connect. */
  disconnect(): unknown;
}

/** The options of {@linkcode followSession}. */
export interface FollowOptions {
  /**
   * Where `bridge.refresh()` answers, of the page's own origin; or a function
   * that asks, for programs that keep their cookies themselves. Answers of 2xx
   * mean that there is a session, 401 that there is none.
   */
  readonly refresh: string | URL | (() => Promise<{ readonly status: number }>);
  /** The first wait before something is tried again, in ms; it doubles from there, and varies by a half. @default {250} */
  readonly minDelay?: number | undefined;
  /** The longest such wait, in ms. @default {30_000} */
  readonly maxDelay?: number | undefined;
  /** How often at most {@linkcode SessionClient.refresh} asks before it gives up. @default {5} */
  readonly attempts?: number | undefined;
}

/**
 * How a followed socket stands: `"connecting"` until the server has said,
 * `"active"` in a session, `"guest"` without one, `"closed"` after
 * {@linkcode SessionClient.close}.
 */
export type SessionState = "connecting" | "active" | "guest" | "closed";

/** Why a session ended, as far as a client is told. */
export type EndedReason =
  /** Somebody logged out, here or in another tab. */
  | "logout"
  /** The server ended it. */
  | "revoked"
  /** Its time was over. */
  | "expired"
  /** This browser began another one. */
  | "replaced"
  /** It goes on under a new id, without this socket. */
  | "rotated"
  /** The store needed the room. */
  | "evicted"
  /** It ended while this socket was not connected. */
  | "away";

/** The events of a {@linkcode SessionClient}, each with its payload. */
export interface SessionClientEvents<View = unknown> {
  /** The socket is in a session, and HTTP requests are too: at first, after a login, and each time it is back. */
  active: undefined;
  /** The session ended. */
  ended: { readonly reason: EndedReason };
  /** The session ends in so many ms, unless something happens, such as {@linkcode SessionClient.refresh}. */
  expiring: { readonly inMs: number };
  /** A request has renewed session and cookies. */
  renewed: undefined;
  /** What the client may see of the session has changed. */
  view: View;
}

/** Follows the session of one socket. Made by {@linkcode followSession}. */
export interface SessionClient<View = unknown> {
  /** How the socket stands now. */
  readonly state: SessionState;
  /** What the client may see of the session, by the bridge's option `view`; `undefined` without a session. */
  readonly view: View | undefined;
  /**
   * Calls a listener at each such event.
   *
   * @returns removes the listener
   */
  on<K extends keyof SessionClientEvents<View>>(
    event: K,
    listener: (payload: SessionClientEvents<View>[K]) => void,
  ): () => void;
  /**
   * Renews session and cookies by an HTTP request; calls that overlap share one.
   *
   * @returns whether there is a session
   * @throws {Error} when no good answer came, however often it was asked, or the client was closed
   */
  refresh(): Promise<boolean>;
  /** Undoes everything: listeners, timers, the word in `socket.auth`. The socket stays as it is. */
  close(): void;
}

/** By this key in `socket.auth` the server knows that somebody follows. */
const MARK = "koa-io-session";
/** How long an answer to a refresh may take, in ms. */
const PATIENCE = 10_000;
/** How often cookies are asked for that must be on their way. */
const CONFIRMATIONS = 6;
/** How often in a row a socket is connected anew without getting into a session. */
const HEALINGS = 3;

/** See {@linkcode SessionClient}. */
class Follower<View> implements SessionClient<View> {
  state: SessionState = "connecting";
  view: View | undefined;
  readonly #socket: FollowedSocket;
  readonly #options: FollowOptions;
  readonly #hears: Record<string, (payload: never) => void>;
  readonly #listeners = new Map<string, Set<(payload: never) => void>>();
  /** Grows with all that happens: what was begun before gives up. */
  #turn = 0;
  /** The socket is connected, and the server has not said yet what in. */
  #fresh = false;
  /** A session that was there, and whose end nobody has been told of; and why it might have ended. */
  #had: EndedReason | undefined;
  /** The server said that the session ended: if it disconnects now, that is why. */
  #told = false;
  /** It is us who disconnect. */
  #own = false;
  #healings = 0;
  #refusals = 0;
  #refreshing: Promise<boolean> | undefined;
  #unmark: () => void = () => {};
  #wake: () => void = () => {};

  constructor(socket: FollowedSocket, options: FollowOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#hears = {
      "connect": () => {
        this.#fresh = true;
        this.#refusals = 0;
      },
      "disconnect": (reason: string) => this.#disconnected(reason),
      "connect_error": (error: RefusalError) => this.#refused(error),
      "session:start": () => this.#started(),
      "session:none": (found?: Found) => void this.#none(found?.client),
      "session:end": (end: { reason: EndedReason }) => this.#ended(end.reason),
      "session:rotated": ({ sockets }: { sockets: string }) => {
        if (sockets === "leave") void this.#left();
      },
      "session:expiring": (notice: { inMs: number }) =>
        this.#emit("expiring", { inMs: notice.inMs }),
      "session:view": (view: View) => {
        this.view = view;
        this.#emit("view", view);
      },
    };
    for (const event in this.#hears) socket.on(event, this.#hears[event]!);
    this.#mark();
    // what was not asked for at the handshake is not told
    if (socket.connected) this.#reconnect();
  }

  on(event: string, listener: (payload: never) => void): () => void {
    const own = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, own.add(listener));
    return () => void own.delete(listener);
  }

  refresh(): Promise<boolean> {
    return this.#refreshing ??= this.#renew().finally(() => {
      this.#refreshing = undefined;
    });
  }

  close(): void {
    if (this.state === "closed") return;
    for (const event in this.#hears) {
      this.#socket.off(event, this.#hears[event]!);
    }
    this.#next();
    this.#unmark();
    this.#listeners.clear();
    this.view = undefined;
    this.state = "closed";
  }

  /** Something new has happened: no wait goes on, and whoever waited finds the turn gone. */
  #next(): number {
    this.#wake();
    return ++this.#turn;
  }

  /** @param n how often it was tried before */
  #wait(n: number): Promise<void> {
    const { minDelay = 250, maxDelay = 30_000 } = this.#options;
    const delay = Math.min(minDelay * 2 ** n, maxDelay);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delay * (0.5 + Math.random() / 2));
      const wake = this.#wake;
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
        wake();
        this.#wake = () => {};
      };
    });
  }

  #emit(event: string, payload?: unknown): void {
    for (const listener of [...this.#listeners.get(event) ?? []]) {
      listener(payload as never);
    }
  }

  #started(): void {
    const turn = this.#next();
    // at the handshake the cookies were seen; of a login the socket hears
    // before the answer with the cookie has come to the browser
    if (this.#fresh) this.#active();
    else if (this.state !== "active") void this.#confirm(turn);
    this.#fresh = false;
  }

  async #confirm(turn: number): Promise<void> {
    for (let n = 0; n < CONFIRMATIONS; n++) {
      const there = await this.refresh().catch(() => true);
      if (turn !== this.#turn) return;
      if (there) break;
      await this.#wait(n);
      if (turn !== this.#turn) return;
    }
    this.#active();
  }

  #active(): void {
    this.#healings = 0;
    this.#told = false;
    this.#had = "away";
    this.state = "active";
    this.#emit("active");
  }

  #ended(reason: EndedReason): void {
    this.#next();
    this.#told = true;
    this.#guest(reason);
  }

  #guest(reason: EndedReason | undefined): void {
    this.#fresh = false;
    this.#had = undefined;
    this.view = undefined;
    this.state = "guest";
    if (reason) this.#emit("ended", { reason });
  }

  /** Connected, and in no session, although one request may find there is one. */
  async #none(client: boolean | undefined): Promise<void> {
    const turn = this.#next();
    this.#fresh = false;
    if (client && this.#healings > 0) this.#healings = 1;
    if (this.#healings >= (client === false ? HEALINGS : 1)) {
      return this.#guest(this.#had);
    }
    await this.#wait(this.#healings++);
    const there = turn === this.#turn &&
      await this.refresh().catch(() => undefined);
    if (turn !== this.#turn) return;
    if (!there) this.#guest(this.#had);
    // a socket that its server does not know would not hear of a login either
    if (there || there === false && client === false) this.#reconnect();
  }

  /** The session has a new id, and the answer with the new cookies is on its way to the browser. */
  async #left(): Promise<void> {
    const turn = this.#next();
    this.#had = "rotated";
    this.view = undefined;
    this.state = "connecting";
    for (let n = 0; n < CONFIRMATIONS; n++) {
      await this.#wait(n);
      if (turn !== this.#turn) return;
      const there = await this.refresh().catch(() => undefined);
      if (turn !== this.#turn) return;
      if (there) break;
    }
    this.#healings = 1;
    this.#reconnect();
  }

  #disconnected(reason: string): void {
    if (this.#own) return;
    const turn = this.#next();
    this.#fresh = false;
    this.#healings = 0;
    this.state = "connecting";
    this.#mark();
    if (reason === "io server disconnect" && this.#told) {
      void this.#revive(turn);
    }
  }

  /** The server has closed the socket with the session: without one it may be open. */
  async #revive(turn: number): Promise<void> {
    await this.#wait(0);
    if (turn === this.#turn) await this.refresh().catch(() => {});
    if (turn !== this.#turn) return;
    this.#healings = 1;
    this.#reconnect();
  }

  /** The session's store may be down for a while; whom somebody else refuses stays out. */
  async #refused({ data }: RefusalError): Promise<void> {
    if (this.#socket.active || !data?.code?.startsWith("SESSION_")) return;
    const turn = this.#next();
    this.#mark();
    await this.#wait(this.#refusals++);
    if (turn === this.#turn) this.#reconnect();
  }

  /** A new connection, so that the handshake brings the cookies as they are now. */
  #reconnect(): void {
    const { io, connected } = this.#socket;
    if (connected) {
      this.state = "connecting";
      this.#own = true;
      this.#socket.disconnect();
      this.#own = false;
      // other namespaces share the connection, and are connected anew with it
      if (io.engine?.readyState === "open") io.engine.close();
    }
    if (!this.#socket.active) this.#socket.connect();
  }

  async #renew(): Promise<boolean> {
    const { attempts = 5 } = this.#options;
    for (let n = 1;; n++) {
      const status = this.state === "closed" ? 0 : await this.#ask();
      if (this.state === "closed") {
        throw new Error("Cannot renew the session as the client is closed");
      }
      if (status === 401) return false;
      if (status >= 200 && status < 300) {
        this.#emit("renewed");
        return true;
      }
      const final = status >= 400 && status < 500 && status !== 429;
      if (final || n >= attempts) {
        throw new Error(
          `Cannot renew the session as the answer must be 2xx or 401: received ${
            status || "none"
          }`,
        );
      }
      await this.#wait(n - 1);
    }
  }

  /** @returns the status, 0 when there was no answer */
  async #ask(): Promise<number> {
    const { refresh } = this.#options;
    try {
      const { status } =
        await (typeof refresh === "function" ? refresh() : fetch(refresh, {
          method: "POST",
          credentials: "include",
          cache: "no-store",
          // a page to log in at is no renewed session
          redirect: "manual",
          signal: AbortSignal.timeout(PATIENCE),
        }));
      return status;
    } catch {
      return 0;
    }
  }

  /** Asks the server to tell at each connect how the socket stands. */
  #mark(): void {
    this.#unmark();
    const socket = this.#socket;
    const before = socket.auth;
    const marked = typeof before === "function"
      ? (back: (data: object) => void) =>
        before((data: object) => back({ ...data, [MARK]: 1 }))
      : { ...before as object, [MARK]: 1 };
    socket.auth = marked;
    this.#unmark = () => {
      if (socket.auth === marked) socket.auth = before;
    };
  }
}

/** How the server refuses a handshake. */
interface RefusalError {
  readonly data?: { readonly code?: string };
}

/** What `session:none` brings. */
interface Found {
  /** Whether the socket brought a genuine client cookie. */
  readonly client?: boolean;
}

/**
 * Follows the session of a socket. Call it in the same turn as `io()`, before
 * the socket is connected: one that is connected already is connected anew.
 *
 * @typeParam View what the bridge's option `view` returns
 * @param socket a `socket.io-client` socket
 * @param options see {@linkcode FollowOptions}
 *
 * @example
 * ```ts ignore
 * import { io } from "socket.io-client";
 * import { followSession } from "@koa-io/session/client";
 *
 * const client = followSession<{ user: string }>(io(), {
 *   refresh: "/session/refresh",
 * });
 * client.on("active", () => console.log("in a session"));
 * client.on("view", ({ user }) => console.log(`hello ${user}`));
 * client.on("expiring", () => client.refresh());
 * client.on("ended", ({ reason }) => console.log(`out: ${reason}`));
 * ```
 */
export function followSession<View = unknown>(
  socket: FollowedSocket,
  options: FollowOptions,
): SessionClient<View> {
  return new Follower<View>(socket, options);
}
