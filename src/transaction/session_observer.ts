/**
 * The one interface through which transactions report what happened.
 *
 * @module
 */
import type { EndReason, SessionConflict, StartCause } from "../api/events.ts";
import type { SessionRecord } from "../api/store.ts";

/** Whether the client's sockets follow its session to a new id, or leave it. */
export type SocketRotation = "follow" | "leave";

/** Receives what happened to sessions, in the order it was acknowledged. */
export interface SessionObserver {
  /** A session was created, or was seen by this process for the first time. */
  started(sid: string, record: SessionRecord, cause: StartCause): void;
  /** A session was written; `before` is the record that the write replaced. */
  changed(sid: string, record: SessionRecord, before: SessionRecord): void;
  /** A session ended; called before the call that ended it resolves. */
  ended(sid: string, record: SessionRecord, reason: EndReason): void;
  /** A session continues under a new id. */
  rotated(
    from: string,
    to: string,
    record: SessionRecord,
    before: SessionRecord,
    sockets: SocketRotation,
  ): void;
  /** A session was bound to another client than `from`, its former one. */
  rebound(from: string, sid: string, record: SessionRecord): void;
  /** The store has no live session of an id that was used. */
  missed(sid: string): void;
  /** A write changed keys that another write had changed to other values. */
  conflict(event: SessionConflict): void;
}
