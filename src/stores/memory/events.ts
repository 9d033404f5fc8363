/**
 * The events of {@linkcode SessionStore}.
 *
 * @module
 */
import type { RemovalReason, SessionRecord } from "../../api/store.ts";
import type { SessionStore } from "../memory.ts";

/** The listeners of {@linkcode SessionStore}. */
export interface SessionStoreEvents {
  /** A session was written; `isNew` when there was none before. */
  set: [store: SessionStore, sid: string, isNew: boolean];
  /** A session was removed, for any reason. */
  destroy: [store: SessionStore, sid: string];
  /** A clean-up removed this many sessions. */
  cleanup: [store: SessionStore, cleared: number];
  /** A session was removed, and why. */
  removed: [sid: string, reason: RemovalReason, record: SessionRecord];
}
