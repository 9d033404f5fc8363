/**
 * First in, first out, per key, with a deadline for waiting and for holding.
 * It knows nothing of sessions.
 *
 * @module
 */

/** One turn at a key. */
export class Hold<K> {
  /** When it was granted, ms on a clock that nobody sets. */
  readonly since: number = performance.now();
  /** `"lost"`: overdue, and given to another. `"revoked"`: what it was a turn at is gone. */
  state: "held" | "released" | "lost" | "revoked" = "held";
  /** Set while the holder writes: what is on its way cannot be taken back, so the key is not passed on. */
  committing = false;
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
  /** In order of arrival; made when somebody has to wait. */
  waiters: Set<Waiter<K>> | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Thrown to a waiter whose patience is over. */
export class WaitTimeout extends Error {}

/** A queue per key. */
export class Mutex<K> {
  readonly #queues = new Map<K, Queue<K>>();
  readonly #limit: number;

  /** @param limit how long to wait, and to hold while others wait, in ms */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether nobody holds the key. */
  isFree(key: K): boolean {
    return !this.#queues.has(key);
  }

  /**
   * Asks for a turn: at once where the key is free.
   *
   * @returns the hold, or `undefined` when the key was revoked during the wait
   * @throws {WaitTimeout} (as a rejection) when the turn did not come in time
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

  /** Ends a turn. Of no effect when it was lost or revoked before. */
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

  /** What the key stood for is gone: the holder is told when it looks, those who wait at once. */
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
    return !queue.holder.committing &&
      performance.now() >= queue.holder.since + this.#limit;
  }

  #wait(queue: Queue<K>): Promise<Hold<K> | undefined> {
    const waiters = queue.waiters ??= new Set();
    return new Promise((settle, reject) => {
      const timer = setTimeout(() => {
        // the holder's time is over as well: pass the key on rather than give up
        if (this.#overdue(queue)) this.#seize(queue);
        if (!waiters.delete(waiter)) return;
        reject(new WaitTimeout());
      }, this.#limit);
      const waiter: Waiter<K> = { settle, timer };
      waiters.add(waiter);
      if (waiters.size === 1) this.#watch(queue);
    });
  }

  /** While somebody waits, a hold ends when its time is over. */
  #watch(queue: Queue<K>): void {
    clearTimeout(queue.timer);
    const left = queue.holder.since + this.#limit - performance.now();
    queue.timer = setTimeout(() => this.#seize(queue), Math.max(left, 0));
  }

  #seize(queue: Queue<K>): void {
    const { holder } = queue;
    if (!queue.waiters?.size || holder.state !== "held" || holder.committing) {
      return;
    }
    queue.holder.state = "lost";
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
