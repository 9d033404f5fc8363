/**
 * The queue of each session in this process.
 *
 * @module
 */
import { SessionTimeoutError } from "../api/errors.ts";
import type { Awaitable } from "../api/store.ts";
import { type Hold, Mutex, WaitTimeout } from "../base/mutex.ts";
import { LateWrites } from "./late_writes.ts";
import type { LockCounts, LockLimits } from "./session_lock.ts";

/** Gives a session to one caller at a time. */
export class SessionQueue {
  readonly #counts: LockCounts;
  readonly #lockTimeout: number;
  readonly #maxWaiting: number;
  readonly #mutex: Mutex<string>;
  readonly #late: LateWrites;

  constructor(
    { lockTimeout, maxWaiting, storeTimeout }: LockLimits,
    counts: LockCounts,
  ) {
    this.#counts = counts;
    this.#lockTimeout = lockTimeout;
    this.#maxWaiting = maxWaiting;
    this.#mutex = new Mutex(lockTimeout);
    this.#late = new LateWrites(this.#mutex, storeTimeout);
  }

  /**
   * Runs a function that holds the session, and releases it itself.
   *
   * @param run receives the hold, and whether it was waited for
   * @throws {SessionTimeoutError} when others hold it for longer than `lockTimeout`, or too many wait
   */
  enter<T>(
    sid: string,
    run: (hold: Hold<string>, waited: boolean) => Awaitable<T>,
  ): Awaitable<T> {
    const free = this.#late.before(sid);
    if (free) return free.then(() => this.enter(sid, run));
    if (this.#mutex.waiting(sid) >= this.#maxWaiting) {
      this.#counts.timeouts++;
      throw new SessionTimeoutError("queue", this.#maxWaiting);
    }
    const hold = this.#mutex.acquire(sid);
    if (!(hold instanceof Promise)) return run(hold, false);
    this.#counts.waits++;
    return this.#wait(sid, hold, run);
  }

  /** Takes an id that no other caller has yet. */
  take(sid: string): Hold<string> {
    return this.#mutex.acquire(sid) as Hold<string>;
  }

  isFree(sid: string): boolean {
    return this.#mutex.isFree(sid);
  }

  /** Takes a session from its holder, whose write is refused. */
  revoke(sid: string, why?: string): void {
    this.#mutex.revoke(sid, why);
  }

  /** Passes a session on, whatever is on its way to the store. */
  release(hold: Hold<string>): void {
    this.#mutex.release(hold);
  }

  /** Passes a session on, after its late write if there is one. */
  releaseSafely(hold: Hold<string>): void {
    this.#late.release(hold);
  }

  /** Records a write that has failed for its caller, and may still arrive; see {@linkcode LateWrites.note}. */
  noteLate(hold: Hold<string>, sent: Awaitable<unknown>): void {
    this.#late.note(hold, sent);
  }

  async #wait<T>(
    sid: string,
    waiting: Promise<Hold<string> | undefined>,
    run: (hold: Hold<string>, waited: boolean) => Awaitable<T>,
  ): Promise<T> {
    try {
      // after a revocation the read decides: the session is missing, or the id was created again
      for (;;) {
        const hold = await waiting;
        if (hold) return await run(hold, true);
        const next = this.#mutex.acquire(sid);
        if (!(next instanceof Promise)) return await run(next, true);
        waiting = next;
      }
    } catch (error) {
      if (!(error instanceof WaitTimeout)) throw error;
      this.#counts.timeouts++;
      throw new SessionTimeoutError("wait", this.#lockTimeout);
    }
  }
}
