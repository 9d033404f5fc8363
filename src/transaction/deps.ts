/**
 * What the operations of the transaction room share.
 *
 * @module
 */
import type { LateChanges } from "./late_changes.ts";
import type { SessionLookup } from "./lookup.ts";
import type { SessionOpener } from "./opener.ts";
import type { RecordBuilder, RecordOptions } from "./record_builder.ts";
import type { SchemaGuard } from "./schema_guard.ts";
import type { LockCounts, LockLimits, SessionLocks } from "./session_lock.ts";
import type { SessionObserver } from "./session_observer.ts";
import type { StoreAccess } from "./store_access.ts";
import type { SessionTermination } from "./termination.ts";
import type { Undo } from "./undo.ts";
import type { UserOptions, UserPolicy } from "./user_policy.ts";

/** The options that concern transactions. */
export interface TransactionOptions
  extends RecordOptions, UserOptions, LockLimits {}

/** Collaborators of every operation on a session. */
export interface TransactionDeps {
  readonly options: TransactionOptions;
  readonly store: StoreAccess;
  readonly locks: SessionLocks;
  readonly counts: LockCounts;
  readonly lookup: SessionLookup;
  readonly records: RecordBuilder;
  readonly opener: SessionOpener;
  readonly termination: SessionTermination;
  readonly users: UserPolicy;
  readonly undo: Undo;
  /** Present with the option `schema`. */
  readonly guard: SchemaGuard | undefined;
  readonly observer: SessionObserver;
  /** Finds changes that handlers leave behind. */
  readonly lateChanges: LateChanges;
}
