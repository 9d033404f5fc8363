/**
 * Locks of a store that several processes share: a lease with a fencing token
 * for each hold, taken and released in the store.
 *
 * @module
 */
import { SessionTimeoutError } from "../api/errors.ts";
import type {
  AcquireResult,
  Awaitable,
  SessionRecord,
  SharedStore,
  StoredRecord,
  Version,
} from "../api/store.ts";
import { noAnswer, toStoreError, waitAtMost } from "../base/async.ts";
import { generateUid } from "../base/ids.ts";
import { MAX_TIMER } from "../base/timers.ts";
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
import type { StoreAccess } from "./store_access.ts";

/** An answer, and a time at which it was not yet given, in ms of the monotonic clock. */
interface Acquired {
  readonly acquired: AcquireResult;
  readonly since: number;
}

/** Leases of the store. */
export class LeaseLocks implements SessionLocks {
  readonly #access: StoreAccess;
  readonly #store: SharedStore;
  readonly #limits: LockLimits;
  readonly #counts: LockCounts;
  /** Calls of this process that wait for a lease, by session. */
  readonly #opening = new Map<string, number>();

  constructor(
    access: StoreAccess,
    store: SharedStore,
    limits: LockLimits,
    counts: LockCounts,
  ) {
    this.#access = access;
    this.#store = store;
    this.#limits = limits;
    this.#counts = counts;
  }

  async open(sid: string): Promise<OpenResult> {
    const { maxWaiting } = this.#limits;
    const opening = this.#opening.get(sid) ?? 0;
    // one of them may be granted the lease without a wait
    if (opening > maxWaiting) {
      this.#counts.timeouts++;
      throw new SessionTimeoutError("queue", maxWaiting);
    }
    this.#opening.set(sid, opening + 1);
    try {
      return await this.#open(sid);
    } finally {
      const rest = this.#opening.get(sid)! - 1;
      if (rest > 0) this.#opening.set(sid, rest);
      else this.#opening.delete(sid);
    }
  }

  async #open(sid: string): Promise<OpenResult> {
    const token = generateUid(22);
    const { acquired, since } = await this.#acquire(sid, token);
    if (acquired.status === "missing") {
      if (acquired.waited) this.#counts.waits++;
      return { missing: true, waited: acquired.waited };
    }
    if (acquired.status === "timeout" || acquired.waited) this.#counts.waits++;
    if (acquired.status === "timeout") {
      this.#counts.timeouts++;
      throw new SessionTimeoutError("wait", this.#limits.lockTimeout);
    }
    return this.#held(sid, token, acquired.record, since);
  }

  #held(
    sid: string,
    token: string,
    record: StoredRecord,
    since: number,
  ): HeldSession {
    let closed = false;
    const state = (): HoldState => {
      if (this.#access.tombstones.has(sid)) return { status: "ended" };
      // an overdue lease may have been granted to another caller
      return performance.now() - since < this.#limits.lockTimeout
        ? { status: "held" }
        : { status: "lost" };
    };
    return {
      sid,
      record,
      state,
      verify: async () => {
        const [version] = await this.#access.call(
          "read",
          () => this.#store.versions([sid]),
        );
        if (version === undefined) return { status: "ended" };
        return version === record.version ? state() : { status: "lost" };
      },
      close: (next) => {
        closed = true;
        return this.#commit(sid, token, next);
      },
      move: async (to, next, note) => {
        const outcome = await this.#move(sid, token, to, next, note, since);
        if (outcome.status !== "lost") closed = true;
        return outcome;
      },
      release: () => {
        if (closed) return;
        closed = true;
        // not awaited: a lease that is not released expires
        Promise.resolve(
          this.#access.call(
            "release",
            () => this.#store.commit(sid, token, undefined),
          ),
        ).catch(() => {});
      },
    };
  }

  /** The store itself refuses the write of a leased session. */
  writeIfCurrent(
    sid: string,
    record: SessionRecord,
    expected: Version,
    ctx: unknown,
  ): Awaitable<Version | undefined> {
    return this.#access.call(
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
    return this.writeIfCurrent(sid, record, expected, ctx);
  }

  touch(sid: string, expires: number, ctx: unknown): Awaitable<boolean> {
    return this.#access.call(
      "touch",
      (records) => records.extend(sid, expires, Date.now(), ctx),
    );
  }

  /** The store refuses the holder's write by itself, and wakes waiting calls. */
  revoke(): void {}

  async #acquire(sid: string, token: string): Promise<Acquired> {
    const { lockTimeout, storeTimeout } = this.#limits;
    let acquiring: Promise<AcquireResult> | undefined;
    try {
      return await this.#access.call(
        "read",
        () => {
          acquiring = this.#store.acquire(sid, token, lockTimeout, lockTimeout);
          return this.#answered(sid, acquiring);
        },
        Math.min(lockTimeout + storeTimeout, MAX_TIMER),
      );
    } catch (error) {
      // a lease granted after the caller gave up is released at once
      acquiring?.then(async (late) => {
        if (late.status === "granted") {
          await this.#store.commit(sid, token, undefined);
        }
      }).catch(() => {});
      throw error;
    }
  }

  /**
   * Waits for an acquisition. A wait for another holder looks like a store that
   * does not answer, so a long wait probes the store with reads.
   */
  async #answered(
    sid: string,
    acquiring: Promise<AcquireResult>,
  ): Promise<Acquired> {
    const { lockTimeout, storeTimeout } = this.#limits;
    const until = Date.now() + lockTimeout + storeTimeout;
    const pause = Math.min(lockTimeout, storeTimeout) / 10;
    // the answer may be read long after the grant, by a process that was stopped
    let since = performance.now();
    while (Date.now() < until) {
      const acquired = await waitAtMost(acquiring, pause);
      if (acquired) return { acquired, since };
      const sent = performance.now();
      const probe = Promise.race([acquiring, this.#store.versions([sid])]);
      if (!await waitAtMost(probe, storeTimeout)) break;
      since = sent;
    }
    throw toStoreError("read", noAnswer(storeTimeout));
  }

  async #commit(
    sid: string,
    token: string,
    record: SessionRecord | undefined,
  ): Promise<CloseResult> {
    const committed = await this.#access.call(
      "write",
      () => this.#store.commit(sid, token, record),
    );
    if (committed.status === "done") return committed;
    if (committed.status === "missing") return { status: "ended" };
    this.#counts.timeouts++;
    return { status: "lost" };
  }

  async #move(
    sid: string,
    token: string,
    to: string,
    record: SessionRecord,
    note: string,
    since: number,
  ): Promise<MoveOutcome> {
    const moved = await this.#access.call(
      "write",
      (records) => records.move(sid, to, record, { token }, note),
    );
    if (moved.status === "done") {
      const stored = { ...record, version: moved.version };
      return { status: "done", held: this.#held(to, token, stored, since) };
    }
    if (moved.status === "taken") throw idInUse();
    if (moved.status === "missing") return { status: "ended" };
    this.#counts.timeouts++;
    return { status: "lost" };
  }
}
