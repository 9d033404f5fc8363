/**
 * A lock per key, granted in order of arrival, with a time limit for waiting and for holding.
 * It is independent of sessions.
 *
 * @module
 */

/** A lock on a key, held by one caller. */
export class Hold<K> {
  /** When it was granted, in ms of the monotonic clock. */
  readonly since: number = performance.now();
  /** `"lost"`: overdue, and granted to another. `"revoked"`: the key's object no longer exists. */
  state: "held" | "released" | "lost" | "revoked" = "held";
  /** Until when the key is not granted to another although it is overdue: a write in flight cannot be cancelled. In ms of the monotonic clock. */
  writingUntil = 0;
  /** Why it was revoked. */
  why: string | undefined;

  constructor(readonly key: K) {}
}

interface Waiter<K> {
  readonly settle: (hold: Hold<K> | undefined) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

interface Queue<K> {
  holder: Hold<K>;
  /** In order of arrival; created by the first waiter. */
  waiters: Set<Waiter<K>> | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Thrown when the wait times out. */
export class WaitTimeout extends Error {}

/** A lock with a queue of waiters for each key. */
export class Mutex<K> {
  readonly #queues = new Map<K, Queue<K>>();
  readonly #limit: number;

  /** @param limit how long to wait, and to hold while others wait, in ms */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether the key is not held. */
  isFree(key: K): boolean {
    return !this.#queues.has(key);
  }

  /** How many wait for the key. */
  waiting(key: K): number {
    return this.#queues.get(key)?.waiters?.size ?? 0;
  }

  /**
   * Acquires the key: synchronously where it is free.
   *
   * @returns the hold, or `undefined` when the key was revoked during the wait
   * @throws {WaitTimeout} (as a rejection) when the wait exceeds the limit
   */
  acquire(key: K): Hold<K> | Promise<Hold<K> | undefined> {
    const queue = this.#queues.get(key);
    if (!queue) {
      const hold = new Hold(key);
      this.#queues.set(key, {
        holder: hold,
        waiters: undefined,
        timer: undefined,
      });
      return hold;
    }
    if (!queue.waiters?.size && this.#overdue(queue)) {
      queue.holder.state = "lost";
      return queue.holder = new Hold(key);
    }
    return this.#wait(queue);
  }

  /** Releases a hold. Has no effect on one that was lost or revoked. */
  release(hold: Hold<K>): void {
    if (hold.state !== "held") return;
    hold.state = "released";
    const queue = this.#queues.get(hold.key)!;
    if (queue.waiters?.size) this.#pass(queue);
    else {
      clearTimeout(queue.timer);
      this.#queues.delete(hold.key);
    }
  }

  /** Revokes the key: the holder finds out from its hold's state, waiters get `undefined` at once. */
  revoke(key: K, why?: string): void {
    const queue = this.#queues.get(key);
    if (!queue) return;
    this.#queues.delete(key);
    clearTimeout(queue.timer);
    queue.holder.state = "revoked";
    queue.holder.why = why;
    for (const waiter of queue.waiters ?? []) {
      clearTimeout(waiter.timer);
      waiter.settle(undefined);
    }
  }

  #overdue(queue: Queue<K>): boolean {
    const { since, writingUntil } = queue.holder;
    return performance.now() >= Math.max(since + this.#limit, writingUntil);
  }

  #wait(queue: Queue<K>): Promise<Hold<K> | undefined> {
    const waiters = queue.waiters ??= new Set();
    return new Promise((settle, reject) => {
      const timer = setTimeout(() => {
        // if the holder is overdue as well, the key is granted to the next waiter instead
        if (this.#overdue(queue)) this.#seize(queue);
        if (!waiters.delete(waiter)) return;
        reject(new WaitTimeout());
      }, this.#limit);
      const waiter: Waiter<K> = { settle, timer };
      waiters.add(waiter);
      if (waiters.size === 1) this.#watch(queue);
    });
  }

  /** While there are waiters, a hold ends at its time limit. */
  #watch(queue: Queue<K>): void {
    clearTimeout(queue.timer);
    const left = queue.holder.since + this.#limit - performance.now();
    queue.timer = setTimeout(() => this.#seize(queue), Math.max(left, 0));
  }

  #seize(queue: Queue<K>): void {
    const { holder } = queue;
    const isWriting = performance.now() < holder.writingUntil;
    if (!queue.waiters?.size || holder.state !== "held" || isWriting) return;
    holder.state = "lost";
    this.#pass(queue);
  }

  #pass(queue: Queue<K>): void {
    const waiters = queue.waiters!;
    const { value: next } = waiters.values().next();
    waiters.delete(next!);
    clearTimeout(next!.timer);
    queue.holder = new Hold(queue.holder.key);
    if (waiters.size > 0) this.#watch(queue);
    else clearTimeout(queue.timer);
    next!.settle(queue.holder);
  }
}
