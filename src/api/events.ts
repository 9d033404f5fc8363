/**
 * The events of the bridge with their payloads, and the events that clients
 * receive.
 *
 * @module
 */

/** Why `sessionStart` is emitted. */
export type StartCause =
  /** An HTTP request began it. */
  | "created"
  /** It was in the store already and is new to this process: after a restart, or begun by another process. */
  | "rebuilt"
  /** It has a new id. */
  | "rotated";

/** Why a session ended. */
export type EndReason =
  /** A handler, or a request, set it to `null`. */
  | "logout"
  /** `destroy`, `destroyUser`, or the store's own `destroy`. */
  | "revoked"
  /** Its lifetime was over. */
  | "expired"
  /** Its client began another session. */
  | "replaced"
  /** Its user began more sessions than `maxSessions` allows; this one was used longest ago. */
  | "displaced"
  /** It has a new id. */
  | "rotated"
  /** The store needed the space. */
  | "evicted";

/** Every reason for an end; the compiler refuses a list that is not complete. */
export const END_REASONS: ReadonlySet<unknown> = new Set(
  Object.keys(
    {
      logout: true,
      revoked: true,
      expired: true,
      replaced: true,
      displaced: true,
      rotated: true,
      evicted: true,
    } satisfies Record<EndReason, true>,
  ),
);

/** The payload of `sessionStart`. */
export interface SessionStart {
  /** The client that the session is bound to. */
  readonly clientId: string;
  /** The session's id. */
  readonly sessionId: string;
  /** Why the event is emitted. */
  readonly cause: StartCause;
  /** Whether it happened in this process. */
  readonly local: boolean;
}

/** The payload of `sessionEnd`. */
export interface SessionEnd {
  /** The client that the session was bound to. */
  readonly clientId: string;
  /** The session's id; it is not valid any more. */
  readonly sessionId: string;
  /** Why it ended. */
  readonly reason: EndReason;
  /** Whether it happened in this process. */
  readonly local: boolean;
}

/** One key that two writers changed to different values. */
export interface Conflict {
  /** The top-level key of the session. */
  readonly key: string;
  /** Its value when this writer read it; `undefined` where there was none. */
  readonly base: unknown;
  /** What this writer made of it; `undefined` where it was deleted. */
  readonly mine: unknown;
  /** What the other writer stored in between; `undefined` where it was deleted. */
  readonly theirs: unknown;
}

/** The payload of `sessionConflict`. */
export interface SessionConflict {
  /** The session's id. */
  readonly sessionId: string;
  /** The keys in conflict; empty for a write that was refused as a whole. */
  readonly keys: readonly string[];
  /**
   * How the conflict was resolved. `"refused"`: nothing was stored, as a later
   * request of the client has begun a session, or has given this one an id
   * that the write may not follow, or as the request took longer than `maxAge`.
   */
  readonly resolution: "last" | "reject" | "custom" | "refused";
}

/** The payload of `sessionChange`. */
export interface SessionChange {
  /** The client that the session is bound to. */
  readonly clientId: string;
  /** The session's id. */
  readonly sessionId: string;
  /** Whether it was written in this process. */
  readonly local: boolean;
}

/** The payload of `userChange`. */
export interface UserChange {
  /** The session's id, after the change. */
  readonly sessionId: string;
  /** The client that the session is bound to, after the change. */
  readonly clientId: string;
  /** The id that the session had before; left out where it had none, or kept it. */
  readonly previousSessionId?: string | undefined;
  /** The user before the change; `undefined` for a login. */
  readonly from: string | undefined;
  /** The user after the change; `undefined` for a logout. */
  readonly to: string | undefined;
  /** Whether the session has a new id; `"kept"` too where no cookie could be sent. */
  readonly ids: "new" | "kept";
  /** Whether it happened in this process. */
  readonly local: boolean;
}

/** The events of a `SessionBridge`, each with its arguments. */
export interface BridgeEvents {
  /** A session began, or is tracked by this process from now on. */
  sessionStart: [event: SessionStart];
  /** A session ended. */
  sessionEnd: [event: SessionEnd];
  /**
   * The data of a session was changed by a write in this process. Of the writes
   * in other processes, only those are reported that change the session's user.
   */
  sessionChange: [event: SessionChange];
  /** A session belongs to another user than before, by the option `user`: a login, a logout or a switch. */
  userChange: [event: UserChange];
  /** Two writers changed the same key to different values, or a write was refused as a whole. */
  sessionConflict: [event: SessionConflict];
  /** Something failed outside any call that could be rejected; emitted only while there is a listener. */
  error: [error: Error];
}

/** The events that clients receive, in every mode; none carries an id. */
export interface ClientEvents {
  /** A session began for this client; the socket is in it. */
  "session:start": () => void;
  /** The session of this socket ended. */
  "session:end": (event: { reason: EndReason }) => void;
  /**
   * The session has a new id. With `"leave"` this socket does not follow it;
   * with `"reconnect"` its connection is closed, so that it comes back with the
   * browser's new cookies.
   */
  "session:rotated": (
    event: { sockets: "follow" | "leave" | "reconnect" },
  ) => void;
  /**
   * The socket connected, and is in no session; for `./client`. `client`:
   * whether a later login will reach it, as its client is identified.
   */
  "session:none": (event: { client: boolean }) => void;
  /** The session ends in `inMs` ms, unless there is activity; see the option `expiringNotice`. */
  "session:expiring": (event: { inMs: number }) => void;
  /** What the client may see of the session, when the socket enters one and when it changes; see the option `view`. */
  "session:view": (view: unknown) => void;
}

/** The name of every event that clients receive; the compiler refuses a list that is not complete. */
export const CLIENT_EVENTS: ReadonlySet<string> = new Set(
  Object.keys(
    {
      "session:start": true,
      "session:end": true,
      "session:rotated": true,
      "session:none": true,
      "session:expiring": true,
      "session:view": true,
    } satisfies Record<keyof ClientEvents, true>,
  ),
);
