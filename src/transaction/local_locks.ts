/**
 * Locks of a store that is safe within this process only: a queue per session.
 * A write is refused when its hold was passed on, and undone when the session
 * ended before the write was answered.
 *
 * @module
 */
import {
  type Awaitable,
  isAlive,
  type MoveResult,
  type SessionRecord,
  type StoredRecord,
  type Version,
} from "../api/store.ts";
import { chain, onFailure } from "../base/async.ts";
import type { Hold } from "../base/mutex.ts";
import type { RecordStore } from "../stores/record_store.ts";
import {
  type CloseResult,
  type HeldSession,
  type HoldState,
  idInUse,
  type LockCounts,
  type LockLimits,
  type MoveOutcome,
  type OpenResult,
  type SessionLocks,
} from "./session_lock.ts";
import { type HoldOperations, LocalHold } from "./local_hold.ts";
import { SessionQueue } from "./session_queue.ts";
import type { StoreAccess } from "./store_access.ts";
import { TrackedWrites } from "./tracked_writes.ts";
import type { Undo } from "./undo.ts";

const HELD: HoldState = { status: "held" };

/** Locks held in this process. */
export class LocalLocks implements SessionLocks {
  readonly #store: StoreAccess;
  readonly #undoing: Undo;
  readonly #writes: TrackedWrites;
  readonly #exclusiveWrites: boolean;
  readonly #counts: LockCounts;
  readonly #queue: SessionQueue;
  readonly #operations: HoldOperations = {
    release: (hold) => this.#queue.releaseSafely(hold),
    stateOf: (hold) => this.#stateOf(hold),
    close: (held, next, expected) => this.#closeHeld(held, next, expected),
    move: ({ hold, record, ctx }, to, next, note) =>
      this.#move(hold, record, to, next, note, ctx),
  };

  /** @param exclusiveWrites see {@linkcode RecordStore.needsExclusiveWrites} */
  constructor(
    store: StoreAccess,
    undo: Undo,
    exclusiveWrites: boolean,
    limits: LockLimits,
    counts: LockCounts,
  ) {
    this.#store = store;
    this.#undoing = undo;
    this.#writes = new TrackedWrites(store, undo);
    this.#exclusiveWrites = exclusiveWrites;
    this.#counts = counts;
    this.#queue = new SessionQueue(limits, counts);
  }

  open(sid: string, ctx: unknown): Awaitable<OpenResult> {
    return this.#queue.enter(
      sid,
      (hold, waited) => this.#read(hold, waited, ctx),
    );
  }

  writeIfCurrent(
    sid: string,
    record: SessionRecord,
    expected: Version,
    ctx: unknown,
  ): Awaitable<Version | undefined> {
    return this.#runExclusive(
      sid,
      ctx,
      "write",
      (records) => records.write(sid, record, expected, ctx),
    );
  }

  writeBinding(
    sid: string,
    record: SessionRecord,
    expected: Version,
    ctx: unknown,
  ): Awaitable<Version | undefined> {
    if (this.#exclusiveWrites) return undefined;
    return this.#store.call(
      "write",
      (records) => records.write(sid, record, expected, ctx, false),
    );
  }

  touch(sid: string, expires: number, ctx: unknown): Awaitable<boolean> {
    const extend = (records: RecordStore) =>
      records.extend(sid, expires, Date.now(), ctx);
    if (!this.#exclusiveWrites) return this.#store.call("touch", extend);
    if (!this.#queue.isFree(sid)) return true;
    return chain(
      this.#runExclusive(sid, ctx, "touch", extend),
      (alive) => alive ?? false,
    );
  }

  revoke(sid: string, why?: string): void {
    this.#queue.revoke(sid, why);
  }

  /**
   * Waits for a hold and writes, without a read.
   *
   * @returns the result of the write, or `undefined` when the session ended
   * before the write was answered
   */
  #runExclusive<T>(
    sid: string,
    ctx: unknown,
    operation: string,
    write: (records: RecordStore) => Awaitable<T>,
  ): Awaitable<T | undefined> {
    return this.#queue.enter(sid, (hold) => {
      // what a basic store holds of it now is a late write, which is undone
      if (this.#store.isKnownEnded(sid)) {
        this.#queue.release(hold);
        return undefined;
      }
      hold.writingUntil = Infinity;
      const written = (value: T): Awaitable<T | undefined> =>
        hold.state === "revoked"
          ? this.#undo(hold, ctx).then(() => undefined)
          : value;
      let sent: Awaitable<T> | undefined;
      return onFailure(
        () =>
          chain(
            this.#writes.run(
              hold.key,
              ctx,
              operation,
              (records) => sent = write(records),
              written,
            ),
            (value) => {
              this.#queue.release(hold);
              return value;
            },
          ),
        () => {
          this.#noteLate(hold, sent);
          this.#queue.releaseSafely(hold);
        },
      );
    });
  }

  #noteLate(hold: Hold<string>, sent: Awaitable<unknown>): void {
    // another store refuses it once the session has another version
    if (this.#exclusiveWrites) this.#queue.noteLate(hold, sent);
  }

  #read(
    hold: Hold<string>,
    waited: boolean,
    ctx: unknown,
  ): Awaitable<OpenResult> {
    let reading: Awaitable<StoredRecord | undefined>;
    try {
      reading = this.#store.read(hold.key, ctx);
    } catch (error) {
      this.#queue.release(hold);
      throw error;
    }
    const opened = (record: StoredRecord | undefined) =>
      this.#opened(hold, record, waited, ctx);
    if (!(reading instanceof Promise)) return opened(reading);
    return reading.then(opened, (error) => {
      this.#queue.release(hold);
      throw error;
    });
  }

  #opened(
    hold: Hold<string>,
    record: StoredRecord | undefined,
    waited: boolean,
    ctx: unknown,
  ): OpenResult {
    if (isAlive(record)) return this.#held(hold, record, ctx);
    // an end during the read counts as an end during the wait
    const ended = hold.state === "revoked";
    this.#queue.release(hold);
    return { missing: true, waited: waited || ended };
  }

  #held(hold: Hold<string>, record: StoredRecord, ctx: unknown): HeldSession {
    return new LocalHold(this.#operations, hold, record, ctx);
  }

  #closeHeld(
    { hold, record, ctx }: LocalHold,
    next: SessionRecord | undefined,
    expected: Version,
  ): Awaitable<CloseResult> {
    const state = this.#stateOf(hold);
    if (state.status === "ended") return state;
    if (state.status === "lost") {
      this.#counts.timeouts++;
      return state;
    }
    if (next) return this.#close(hold, next, expected, ctx);
    this.#queue.release(hold);
    return { status: "done", version: record.version };
  }

  #stateOf({ key, state, why }: Hold<string>): HoldState {
    if (state === "revoked") return { status: "ended", why };
    if (state !== "lost") return HELD;
    // it may have ended, or been rotated, while another caller held it
    const hasEnded = this.#store.tombstones.has(key);
    return hasEnded ? { status: "ended" } : { status: "lost" };
  }

  #move(
    hold: Hold<string>,
    { version }: StoredRecord,
    to: string,
    record: SessionRecord,
    note: string,
    ctx: unknown,
  ): Awaitable<MoveOutcome> {
    const state = this.#stateOf(hold);
    if (state.status === "ended") return state;
    if (state.status === "lost") {
      this.#counts.timeouts++;
      return state;
    }
    hold.writingUntil = Infinity;
    // taken before the move: no other caller has the new id yet
    const next = this.#queue.take(to);
    const moved = (result: MoveResult): MoveOutcome => {
      if (result.status === "done") {
        const stored = { ...record, version: result.version };
        return { status: "done", held: this.#held(next, stored, ctx) };
      }
      this.#queue.release(next);
      hold.writingUntil = 0;
      if (result.status === "taken") throw idInUse();
      return { status: result.status === "missing" ? "ended" : "lost" };
    };
    let moving: Awaitable<MoveResult> | undefined;
    return onFailure(
      () =>
        this.#writes.run(
          hold.key,
          ctx,
          "write",
          (records) =>
            moving = records.move(
              hold.key,
              to,
              record,
              { expected: version },
              note,
              ctx,
            ),
          moved,
        ),
      () => {
        this.#queue.release(next);
        hold.writingUntil = 0;
        this.#noteLate(hold, moving);
        // a move that is applied after it has failed: no response has its new id
        Promise.resolve(moving).then((late) => {
          if (late?.status === "done") this.#undoing.start(to, ctx);
        }, () => {});
      },
    );
  }

  #close(
    hold: Hold<string>,
    record: SessionRecord,
    expected: Version,
    ctx: unknown,
  ): Awaitable<CloseResult> {
    hold.writingUntil = Infinity;
    const written = (version: Version | undefined): Awaitable<CloseResult> => {
      if (hold.state === "revoked") return this.#undo(hold, ctx);
      if (version === undefined) return this.#refused(hold, ctx);
      this.#queue.release(hold);
      return { status: "done", version };
    };
    let sent: Awaitable<Version | undefined> | undefined;
    return onFailure(
      () =>
        this.#writes.run(
          hold.key,
          ctx,
          "write",
          (records) => sent = records.write(hold.key, record, expected, ctx),
          written,
        ),
      () => {
        this.#noteLate(hold, sent);
        this.#queue.releaseSafely(hold);
      },
    );
  }

  async #undo(hold: Hold<string>, ctx: unknown): Promise<CloseResult> {
    await this.#undoing.run(hold.key, ctx);
    return { status: "ended", why: hold.why };
  }

  #refused(hold: Hold<string>, ctx: unknown): Awaitable<CloseResult> {
    return onFailure(
      () =>
        chain(
          this.#store.read(hold.key, ctx),
          (record): CloseResult => {
            if (isAlive(record)) return { status: "changed", record };
            this.#queue.release(hold);
            return { status: "ended" };
          },
        ),
      () => this.#queue.release(hold),
    );
  }
}
