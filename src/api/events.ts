/**
 * What the bridge tells: the payloads of its events, and what clients hear.
 *
 * @module
 */

/** How a session came to be known. */
export type StartCause =
  /** An HTTP request began it. */
  | "created"
  /** It was in the store already, and was met again: after a restart, or begun by another process. */
  | "rebuilt"
  /** It goes on under a new id. */
  | "rotated";

/** Why a session ended. */
export type EndReason =
  /** A handler, or a request, set it to `null`. */
  | "logout"
  /** `destroy`, `destroyUser`, or the store's own `destroy`. */
  | "revoked"
  /** Its time was over. */
  | "expired"
  /** Its client began another session. */
  | "replaced"
  /** It goes on under a new id. */
  | "rotated"
  /** The store needed the room. */
  | "evicted";

/** The payload of `sessionStart`. */
export interface SessionStart {
  /** The client that the session is bound to. */
  readonly clientId: string;
  /** The session's id. */
  readonly sessionId: string;
  /** How it came to be known. */
  readonly cause: StartCause;
  /** Whether it happened in this process. */
  readonly local: boolean;
}

/** The payload of `sessionEnd`. */
export interface SessionEnd {
  /** The client that the session was bound to. */
  readonly clientId: string;
  /** The session's id; it is dead. */
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
  /** The keys in conflict. */
  readonly keys: readonly string[];
  /** What became of it. */
  readonly resolution: "last" | "reject" | "custom";
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

/** The events of a `SessionBridge`, each with its arguments. */
export interface BridgeEvents {
  /** A session began, or was met again. */
  sessionStart: [event: SessionStart];
  /** A session ended. */
  sessionEnd: [event: SessionEnd];
  /**
   * The data of a session was changed by a write in this process. Of writes in
   * others only those are told that change whom it belongs to.
   */
  sessionChange: [event: SessionChange];
  /** Two writers changed the same key to different values. */
  sessionConflict: [event: SessionConflict];
  /** Something failed that no caller can be told of; emitted only while somebody listens. */
  error: [error: Error];
}

/** What clients hear, in every mode; never an id. */
export interface ClientEvents {
  /** A session began for this client; the socket is in it. */
  "session:start": () => void;
  /** The session of this socket ended. */
  "session:end": (event: { reason: EndReason }) => void;
  /** The session goes on under a new id; with `"leave"`, without this socket. */
  "session:rotated": (event: { sockets: "follow" | "leave" }) => void;
  /**
   * The socket connected, and is in no session; for `./client`. `client`:
   * whether it would hear of a later login, as its client is known.
   */
  "session:none": (event: { client: boolean }) => void;
  /** The session ends in so many ms, unless something happens; see the option `expiringNotice`. */
  "session:expiring": (event: { inMs: number }) => void;
  /** What the client may see of the session, when it gets into one and when it changes; see the option `view`. */
  "session:view": (view: unknown) => void;
}
