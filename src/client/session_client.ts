/**
 * The public types of the client. Types only, so that the client is one file in
 * JavaScript.
 *
 * @module
 */

/** The members of a `socket.io-client` socket that are used. */
export interface FollowedSocket {
  /** Whether it is connected. */
  readonly connected: boolean;
  /** Whether it is connected, or will connect automatically. */
  readonly active: boolean;
  /** The credentials sent on connect: an object, or a function that passes one to its callback. */
  auth: unknown;
  /** Its manager, which may serve other sockets too. */
  readonly io: {
    readonly engine?: { readonly readyState: string; close(): unknown };
  };
  /** Adds a listener, whatever the types of the socket's events. */
  readonly on: (...args: never[]) => unknown;
  /** Removes a listener. */
  readonly off: (...args: never[]) => unknown;
  /** Connects. */
  connect(): unknown;
  /** Disconnects, without reconnecting automatically. */
  disconnect(): unknown;
}

/** The options of {@linkcode followSession}. */
export interface FollowOptions {
  /**
   * The URL of `bridge.refresh()`, of the page's own origin; or a function that
   * makes the request, for programs that manage cookies themselves. A status of
   * 2xx means that there is a session, 401 that there is none. An answer that
   * takes longer than 10,000 ms counts as none, and the request is repeated.
   */
  readonly refresh: string | URL | (() => Promise<{ readonly status: number }>);
  /** The first wait before an attempt is repeated, in ms; it doubles each time, and varies by a half. @default {250} */
  readonly minDelay?: number | undefined;
  /** The longest such wait, in ms. @default {30_000} */
  readonly maxDelay?: number | undefined;
  /** How many requests {@linkcode SessionClient.refresh} makes before it rejects. @default {5} */
  readonly attempts?: number | undefined;
}

/**
 * The state of a followed socket: `"connecting"` until the server has reported
 * its session, `"active"` in a session, `"guest"` without one, `"closed"` after
 * {@linkcode SessionClient.close}.
 */
export type SessionState = "connecting" | "active" | "guest" | "closed";

/** Why a session ended, as reported to a client. */
export type EndedReason =
  /** A logout, here or in another tab. */
  | "logout"
  /** It was revoked on the server. */
  | "revoked"
  /** Its time was over. */
  | "expired"
  /** This browser started another one. */
  | "replaced"
  /** It has a new id, and this socket does not follow it. */
  | "rotated"
  /** Its user has more sessions than are allowed; this one was used longest ago. */
  | "displaced"
  /** The store needed the room. */
  | "evicted"
  /** It ended while this socket was not connected. */
  | "away";

/**
 * What a page shows of a session: an object that is never changed, and another
 * one after each change.
 */
export interface SessionSnapshot<View = unknown> {
  /** The state of the socket: `"guest"` is the one for "please log in". */
  readonly state: SessionState;
  /** The view of the session, `undefined` without one. */
  readonly view: View | undefined;
  /** Why the last session ended; `undefined` in a session, and before there was one. */
  readonly reason: EndedReason | undefined;
  /** Whether the connection was lost, and is being made again. */
  readonly reconnecting: boolean;
}

/** The events of a {@linkcode SessionClient}, each with its payload. */
export interface SessionClientEvents<View = unknown> {
  /** The state has changed. */
  state: SessionSnapshot<View>;
  /** The socket and HTTP requests are in a session: at first, after a login, and after each reconnection. */
  active: undefined;
  /** The session ended. */
  ended: { readonly reason: EndedReason };
  /** The session ends in so many ms, unless there is activity, such as {@linkcode SessionClient.refresh}. */
  expiring: { readonly inMs: number };
  /** A request has renewed session and cookies. */
  renewed: undefined;
  /** The client's view of the session has changed. */
  view: View;
}

/** Follows the session of one socket. Created by {@linkcode followSession}. */
export interface SessionClient<View = unknown> {
  /** The current state of the socket. */
  readonly state: SessionState;
  /** The client's view of the session, from the bridge's option `view`; `undefined` without a session. */
  readonly view: View | undefined;
  /**
   * The present snapshot: the same object until something changes. Bound to the
   * client, as `subscribe` is: both fit React's `useSyncExternalStore`.
   */
  readonly getSnapshot: () => SessionSnapshot<View>;
  /**
   * Calls a listener with the new snapshot after each change of state, view,
   * reason or connection.
   *
   * @returns a function that removes the listener
   */
  readonly subscribe: (
    listener: (snapshot: SessionSnapshot<View>) => void,
  ) => () => void;
  /**
   * Adds a listener.
   *
   * @returns a function that removes the listener
   */
  on<K extends keyof SessionClientEvents<View>>(
    event: K,
    listener: (payload: SessionClientEvents<View>[K]) => void,
  ): () => void;
  /**
   * Renews session and cookies by an HTTP request; calls that overlap share one.
   * Where it finds a session and the state is `"guest"`, the socket reconnects.
   *
   * @returns whether there is a session
   * @throws {Error} when no attempt was answered with 2xx or 401, or the client was closed
   */
  refresh(): Promise<boolean>;
  /** Removes listeners, timers and the flag in `socket.auth`. The socket stays as it is. */
  close(): void;
}
