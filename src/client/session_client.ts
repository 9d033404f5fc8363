/**
 * What a followed socket looks like to its user. Types only, so that the
 * client is one file in JavaScript.
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
  /** Adds a listener; whatever the types of its events are. */
  readonly on: (...args: never[]) => unknown;
  /** Removes a listener. */
  readonly off: (...args: never[]) => unknown;
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
