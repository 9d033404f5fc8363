/**
 * The other end: follows the session of a `socket.io-client` socket in a
 * browser, or on Deno and Node. Hears why a session ended, makes the one HTTP
 * request that renews cookies, as a WebSocket can set none, and connects the
 * socket anew where that is what it takes. It never sees an id.
 *
 * In JavaScript it is one file, for `<script type="module">` too.
 *
 * @module
 */

import type {
  EndedReason,
  FollowedSocket,
  FollowOptions,
  SessionClient,
  SessionState,
} from "./client/session_client.ts";
import type { WebLocks } from "./client/web_locks.ts";

export type * from "./client/session_client.ts";

/** By this key in `socket.auth` the server knows that somebody follows. */
const MARK = "koa-io-session";
/** How long an answer to a refresh may take, in ms. */
const PATIENCE = 10_000;
/** How often cookies are asked for that must be on their way. */
const ON_THEIR_WAY = 6;
/** How often in a row a socket is connected anew without getting into a session. */
const HEALINGS = 3;

class Follower<View> implements SessionClient<View> {
  state: SessionState = "connecting";
  view: View | undefined;
  readonly #socket: FollowedSocket;
  readonly #options: FollowOptions;
  readonly #listeners = new Map<string, Set<(payload: never) => void>>();
  readonly #waits = new Set<() => void>();
  /** Grows with all that happens: what was begun before gives up. */
  #turn = 0;
  /** The socket is connected, and the server has not said yet what in. */
  #fresh = false;
  /** What to call the end of a session that was there, if that is found out only later. */
  #had: EndedReason | undefined;
  /** The server said that the session ended: if it disconnects now, that is why. */
  #told = false;
  /** It is us who disconnected. */
  #own = false;
  #healings = 0;
  #refusals = 0;
  #refreshing: Promise<boolean> | undefined;
  #asking: AbortController | undefined;
  #auth: unknown;
  #marked: unknown;
  readonly #hears: Record<string, (payload: never) => void> = {
    "connect": () => {
      this.#fresh = true;
      this.#own = this.#told = false;
      this.#refusals = 0;
    },
    "disconnect": (reason: string) => this.#disconnected(reason),
    "connect_error": (error: { data?: { code?: string } }) =>
      this.#refused(error.data?.code),
    "session:start": () => this.#started(),
    "session:none": (found?: { client: boolean }) => this.#none(found?.client),
    "session:end": ({ reason }: { reason: EndedReason }) => {
      this.#turn++;
      this.#fresh = false;
      this.#told = true;
      this.#guest(reason);
    },
    "session:rotated": ({ sockets }: { sockets: string }) => {
      if (sockets === "leave") this.#comeBack(ON_THEIR_WAY, "rotated");
    },
    "session:expiring": ({ inMs }: { inMs: number }) =>
      this.#emit("expiring", { inMs }),
    "session:view": (view: View) => {
      this.view = view;
      this.#emit("view", view);
    },
  };

  constructor(socket: FollowedSocket, options: FollowOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#listen("on");
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
    this.#listen("off");
    this.#unmark();
    this.#listeners.clear();
    this.view = undefined;
    this.state = "closed";
    this.#turn++;
    this.#asking?.abort();
    for (const wake of this.#waits) wake();
  }

  #started(): void {
    const turn = ++this.#turn;
    // at the handshake the cookies were seen; of a login the socket hears
    // before the answer with the cookie has come to the browser
    if (this.#fresh) this.#active();
    else if (this.state !== "active") this.#confirm(turn);
    this.#fresh = false;
  }

  #active(): void {
    this.#healings = 0;
    this.#had = "away";
    this.state = "active";
    this.#emit("active");
  }

  #guest(reason: EndedReason | undefined): void {
    this.#had = undefined;
    this.view = undefined;
    this.state = "guest";
    if (reason) this.#emit("ended", { reason });
  }

  async #confirm(turn: number): Promise<void> {
    for (let n = 0; n < ON_THEIR_WAY; n++) {
      // an answer of another kind says nothing about the cookies
      const there = await this.refresh().catch(() => true);
      if (!there) await this.#wait(n);
      if (turn !== this.#turn) return;
      if (there) break;
    }
    this.#active();
  }

  /** Connected, and in no session, although a request may find that there is one. */
  async #none(client: boolean | undefined): Promise<void> {
    const turn = ++this.#turn;
    this.#fresh = false;
    if (client) this.#healings = Math.min(this.#healings, 1);
    if (this.#healings >= (client === false ? HEALINGS : 1)) {
      return this.#guest(this.#had);
    }
    await this.#wait(this.#healings++);
    if (turn !== this.#turn) return;
    const there = await this.refresh().catch(() => undefined);
    if (turn !== this.#turn) return;
    if (!there) this.#guest(this.#had);
    // a socket whose client is not known would not hear of a login either
    if (there || there === false && client === false) this.#reconnect();
  }

  /** Cookies are, or may be, on their way to the browser: with them the socket may be in a session again. */
  async #comeBack(tries: number, had?: EndedReason): Promise<void> {
    const turn = ++this.#turn;
    this.#had = had;
    this.view = undefined;
    this.state = "connecting";
    for (let n = 0, there; n < tries && !there; n++) {
      await this.#wait(n);
      if (turn !== this.#turn) return;
      there = await this.refresh().catch(() => false);
      if (turn !== this.#turn) return;
    }
    this.#healings = 1;
    this.#reconnect();
  }

  #disconnected(reason: string): void {
    if (this.#own) return;
    this.#turn++;
    this.#healings = 0;
    this.state = "connecting";
    // the server closes a socket with its session; whoever else does has reasons of their own
    if (reason === "io server disconnect" && this.#told) this.#comeBack(1);
  }

  /** The store may be down for a while; who is refused as a guest may be none. */
  async #refused(code = ""): Promise<void> {
    if (this.#socket.active) return;
    if (!code.startsWith("SESSION_")) return this.#none(true);
    const turn = ++this.#turn;
    await this.#wait(this.#refusals++);
    if (turn === this.#turn) this.#reconnect();
  }

  /** A new connection, whose handshake brings the cookies as they are now. */
  #reconnect(): void {
    const socket = this.#socket;
    this.#mark();
    if (socket.connected) {
      this.state = "connecting";
      this.#own = true;
      socket.disconnect();
      // other namespaces share the connection, and are connected anew with it
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
        const came = status || "none";
        throw new Error(
          `Cannot renew the session as the answer must be 2xx or 401: received ${came}`,
        );
      }
      await this.#wait(n - 1);
    }
  }

  /** @returns the status, 0 when there was no answer */
  async #ask(): Promise<number> {
    const { refresh } = this.#options;
    const { signal } = this.#asking = new AbortController();
    const timer = setTimeout(() => this.#asking?.abort(), PATIENCE);
    try {
      if (typeof refresh === "function") return (await refresh()).status;
      // tabs that ask at once would be given a client id each, and one is kept
      const { locks } = globalThis.navigator as { locks?: WebLocks } ?? {};
      const ask = () => post(refresh, signal);
      return await (locks ? locks.request(MARK, { signal }, ask) : ask());
    } catch {
      return 0;
    } finally {
      clearTimeout(timer);
    }
  }

  #listen(how: "on" | "off"): void {
    for (const heard of Object.entries(this.#hears)) {
      this.#socket[how](...heard as unknown as never[]);
    }
  }

  /** @param n how often it was tried before */
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
        // the user's to see, and none of ours to stumble over
        void Promise.reject(error);
      }
    }
  }

  /** Asks the server to tell at each connect how the socket stands. */
  #mark(): void {
    const socket = this.#socket;
    if (socket.auth === this.#marked && this.#marked) return;
    const auth = this.#auth = socket.auth;
    socket.auth = this.#marked = typeof auth === "function"
      ? (back: (data: object) => void) =>
        auth((data: object) => back({ ...data, [MARK]: 1 }))
      : { ...auth as object, [MARK]: 1 };
  }

  #unmark(): void {
    const { auth } = this.#socket;
    if (auth !== this.#marked) return;
    // what the user has put into the object since stays
    if (typeof auth === "function") this.#socket.auth = this.#auth;
    else delete (auth as Record<string, unknown>)[MARK];
  }
}

async function post(url: string | URL, signal: AbortSignal): Promise<number> {
  const { status, body } = await fetch(url, {
    method: "POST",
    credentials: "include",
    cache: "no-store",
    // a page to log in at is no renewed session
    redirect: "manual",
    signal,
  });
  await body?.cancel();
  return status;
}

/**
 * Follows the session of a socket. Call it in the same turn as `io()`, before
 * the socket is connected: one that is connected already is connected anew.
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
 * client.on("ended", ({ reason }) => console.log(`out: ${reason}`));
 * assertEquals(client.state, "connecting");
 * ```
 */
export function followSession<View = unknown>(
  socket: FollowedSocket,
  options: FollowOptions,
): SessionClient<View> {
  if (!options?.refresh) {
    throw new TypeError(
      `Cannot follow the session as refresh must be a path, a URL or a function: received ${options?.refresh}`,
    );
  }
  return new Follower<View>(socket, options);
}
