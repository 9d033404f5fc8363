/**
 * Exclusive access to one session: the contract of the two lock
 * implementations, local and by lease.
 *
 * @module
 */
import { SessionStoreError } from "../api/errors.ts";
import type {
  Awaitable,
  SessionRecord,
  StoredRecord,
  Version,
} from "../api/store.ts";

/** Result of releasing a held session. */
export type CloseResult =
  /** Written, or there was nothing to write. */
  | { readonly status: "done"; readonly version: Version }
  /** The session ended during the hold; nothing was written. */
  | { readonly status: "ended"; readonly why?: string | undefined }
  /** The hold was overdue and the session was granted to another caller; nothing was written. */
  | { readonly status: "lost" }
  /** The stored version changed without the lock; `record` is current. The session is still held. */
  | { readonly status: "changed"; readonly record: StoredRecord };

/** Result of moving a held session to a new id. */
export type MoveOutcome =
  /** The session is held under the new id. */
  | { readonly status: "done"; readonly held: HeldSession }
  /** The session ended during the hold; nothing was written. */
  | { readonly status: "ended"; readonly why?: string | undefined }
  /** The hold was overdue, or the stored version changed without the lock; nothing was written. */
  | { readonly status: "lost" };

/** Whether a held session can still be written. */
export type HoldState =
  | { readonly status: "held" }
  | { readonly status: "ended"; readonly why?: string | undefined }
  | { readonly status: "lost" };

/** A session held by one caller. */
export interface HeldSession {
  readonly sid: string;
  readonly record: StoredRecord;
  /** Writes the record, if one is given, and releases the session. */
  close(record?: SessionRecord, expected?: Version): Awaitable<CloseResult>;
  /**
   * Gives the session a new id and a new record, in one step where the store
   * is atomic. The hold continues under the new id.
   *
   * @param note see {@linkcode FormerId}
   * @throws {SessionStoreError} when the new id is in use
   */
  move(to: string, record: SessionRecord, note: string): Awaitable<MoveOutcome>;
  /** Releases the session without a write. A no-op once it was released. */
  release(): void;
  /** The state of the hold, as far as this process can say without a store call. */
  state(): HoldState;
  /** The state of the hold, by the store where it is shared. */
  verify(): Awaitable<HoldState>;
}

/** Result of opening a session: held, or missing. */
export type OpenResult = HeldSession | {
  readonly missing: true;
  /** Whether the session ended, or was rotated, during the wait. */
  readonly waited: boolean;
};

/** How a session is locked, chosen once for a store. */
export interface SessionLocks {
  /**
   * Waits for exclusive access and reads the session.
   *
   * @throws {SessionTimeoutError} when the wait takes longer than
   * `lockTimeout`, or `maxWaiting` calls wait already
   */
  open(sid: string, ctx: unknown): Awaitable<OpenResult>;
  /**
   * Writes a record without reading the session first.
   *
   * @returns the new version, or `undefined` when the stored version is not
   * `expected`, or the session has ended or is leased
   */
  writeIfCurrent(
    sid: string,
    record: SessionRecord,
    expected: Version,
    ctx: unknown,
  ): Awaitable<Version | undefined>;
  /**
   * Writes what a record holds beside the data, without waiting for a holder.
   *
   * @returns the new version, or `undefined` when the write was refused, and
   * always where every write needs exclusive access
   */
  writeBinding(
    sid: string,
    record: SessionRecord,
    expected: Version,
    ctx: unknown,
  ): Awaitable<Version | undefined>;
  /** Extends the life of a session; `true` without a store call where a holder will do so. */
  touch(sid: string, expires: number, ctx: unknown): Awaitable<boolean>;
  /** Marks a session as ended: waiting calls find it missing, the holder's write is refused. */
  revoke(sid: string, why?: string): void;
}

/** Limits of the locks; times are in ms. */
export interface LockLimits {
  /** How many calls of this process may wait for one session. */
  readonly maxWaiting: number;
  readonly lockTimeout: number;
  readonly storeTimeout: number;
}

/** Counters for `bridge.stats()`. */
export interface LockCounts {
  /** Calls that had to wait for a session. */
  waits: number;
  /** Waits and holds that exceeded `lockTimeout`. */
  timeouts: number;
}

/** The error for a new id that the store has already. */
export function idInUse(): Error {
  return new SessionStoreError(
    "Cannot regenerate the session as genid returned an id that is in use",
  );
}
