/**
 * The timed clean-up of a store in memory.
 *
 * @module
 */
import { Alarm } from "../../base/expiry_heap.ts";
import type { MemoryEntries } from "./entries.ts";

/** The shortest pause between two clean-ups, in ms. */
const PAUSE = 1_000;

/** For how long one turn of the event loop removes entries, in ms, so that a large clean-up does not block it. */
const TURN_MS = 1;

/** How many entries are removed between two reads of the clock: memory that was long unused makes each slow. */
const BATCH = 20;

/** Removes expired entries by a timer, which runs only while there are entries. */
export class Cleanup {
  readonly #entries: MemoryEntries;
  readonly #interval: number | undefined;
  readonly #cleared: (count: number) => void;
  readonly #alarm = new Alarm(() => this.#run());
  #last = 0;
  #stopped = false;

  /**
   * @param interval in ms; `undefined` for a clean-up when an entry has expired
   * @param cleared is called with the number of entries that a clean-up removed
   */
  constructor(
    entries: MemoryEntries,
    interval: number | undefined,
    cleared: (count: number) => void,
  ) {
    this.#entries = entries;
    this.#interval = interval;
    this.#cleared = cleared;
  }

  /** Sets the timer to the next expiry, or to the interval. */
  schedule(): void {
    const { next } = this.#entries;
    if (this.#stopped || next === undefined) return;
    this.#alarm.set(
      this.#interval === undefined
        ? Math.max(next, this.#last + PAUSE)
        : Date.now() + this.#interval,
    );
  }

  /** Stops the timer for good. */
  stop(): void {
    this.#alarm.stop();
    this.#stopped = true;
  }

  #run(): void {
    const until = performance.now() + TURN_MS;
    let removed = this.#entries.expire(BATCH);
    let cleared = removed;
    while (removed === BATCH && performance.now() < until) {
      removed = this.#entries.expire(BATCH);
      cleared += removed;
    }
    if (cleared > 0) this.#cleared(cleared);
    this.#last = Date.now();
    if (removed === BATCH) this.#alarm.set(this.#last + 1);
    else this.schedule();
  }
}
