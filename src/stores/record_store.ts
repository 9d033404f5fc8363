/**
 * The store as the bridge uses it, whatever its tier.
 *
 * @module
 */
import type {
  AtomicStore,
  Awaitable,
  BeginOptions,
  BeginResult,
  MoveCondition,
  MoveResult,
  SessionRecord,
  StoredRecord,
  Version,
} from "../api/store.ts";

/** An atomic store, with what an adapter of a basic store needs in addition. */
export interface RecordStore extends AtomicStore {
  /** Set where conditional writes are safe only while no other write of the session is in progress. */
  readonly needsExclusiveWrites?: boolean;
  /** Set where the store may read the Koa context that it is called with. */
  readonly mayReadContext?: boolean;
  /** Set where no session can be reached without a Koa context. */
  readonly needsContext?: boolean;
  /** `false` where `destroy` cannot report whether the session existed. */
  readonly reportsExistence?: boolean;
  read(sid: string, ctx?: unknown): Awaitable<StoredRecord | undefined>;
  /** @param changed `false` for a write that leaves the data as it is */
  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
    ctx?: unknown,
    changed?: boolean,
  ): Awaitable<Version | undefined>;
  begin(
    sid: string,
    record: SessionRecord,
    options?: BeginOptions,
    ctx?: unknown,
  ): Awaitable<BeginResult>;
  extend(
    sid: string,
    expires: number,
    lastUsed?: number,
    ctx?: unknown,
  ): Awaitable<boolean>;
  destroy(sid: string, note?: string, ctx?: unknown): Awaitable<boolean>;
  move(
    from: string,
    to: string,
    record: SessionRecord,
    condition: MoveCondition,
    note: string,
    ctx?: unknown,
  ): Awaitable<MoveResult>;
}
