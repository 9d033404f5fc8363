/**
 * The one interface through which transactions report what happened.
 *
 * @module
 */
import type { EndReason, SessionConflict, StartCause } from "../api/events.ts";
import type { SessionRecord } from "../api/store.ts";
import type { RequestOrigin } from "./request_origin.ts";

/**
 * What becomes of the client's sockets when its session is given a new id:
 * they stay in it, they are left without a session, or they are closed and
 * come back with their browser's cookies.
 */
export type SocketRotation = "follow" | "leave" | "reconnect";

/** A change of the user that a session belongs to. */
export interface UserChange {
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** The circumstances of a change. */
export interface Occasion {
  /** The request that made it; `undefined` for sockets, calls by id, and other nodes. */
  readonly request?: RequestOrigin | undefined;
  /** The change of user that it brought. */
  readonly userChange?: UserChange | undefined;
}

/** A session that continues under a new id. */
export interface RotatedSession extends Occasion {
  readonly from: string;
  readonly to: string;
  readonly record: SessionRecord;
  /** The record under the old id; `undefined` for a rotation on another node. */
  readonly before: SessionRecord | undefined;
  readonly sockets: SocketRotation;
}

/** Receives what happened to sessions, in the order it was acknowledged. */
export interface SessionObserver {
  /** A session was created, or is known to this process for the first time. */
  started(
    sid: string,
    record: SessionRecord,
    cause: StartCause,
    occasion?: Occasion,
  ): void;
  /** A session was written; `before` is the record that the write replaced. */
  changed(
    sid: string,
    record: SessionRecord,
    before: SessionRecord,
    occasion?: Occasion,
  ): void;
  /** A session ended; called before the call that ended it resolves. */
  ended(
    sid: string,
    record: SessionRecord,
    reason: EndReason,
    occasion?: Occasion,
  ): void;
  /** A session was to be ended that the store has no more, and that was not moved. */
  gone(sid: string, reason: EndReason, occasion: Occasion): void;
  /** A session was to be ended, and the store failed: it may have ended it, or not. */
  unsettled(sid: string): void;
  /** A session continues under a new id. */
  rotated(rotation: RotatedSession): void;
  /** A session was bound to another client than `from`, its former one. */
  rebound(from: string, sid: string, record: SessionRecord): void;
  /** A request with the session cookie and the client cookie of another client corrects the latter. */
  corrected(sid: string, occasion: Occasion): void;
  /** The store has no live session of an id that was used. */
  missed(sid: string): void;
  /** A write was refused, or changed keys that another write had changed to other values. */
  conflict(event: SessionConflict): void;
}
