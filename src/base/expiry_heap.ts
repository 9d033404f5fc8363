/**
 * What ends next: a binary heap keyed by time. Finding the k items that are
 * due among n costs O(k log n), and a timer of ours never keeps a process alive.
 *
 * @module
 */
import { MAX_TIMER } from "./timers.ts";

/** A place in the heap, kept by the item itself so that removal needs no search. */
export interface Scheduled {
  /** Where the item stands in the heap; -1 while it is in none. */
  slot: number;
  /** When it really ends, ms since the epoch. It may have moved since it was scheduled. */
  readonly expires: number;
}

/** A min-heap of items by the time they were scheduled for. */
export class ExpiryHeap<T extends Scheduled> {
  readonly #items: T[] = [];
  /** Beside the items, not in them: a double in an object field costs 16 bytes more. */
  readonly #due: number[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** When the next item is to be looked at, or `undefined` when there is none. */
  get next(): number | undefined {
    return this.#due[0];
  }

  /**
   * Puts an item in, or moves it to an earlier time. A later time is not acted
   * upon until the earlier one comes: activity that prolongs a life costs nothing.
   */
  schedule(item: T): void {
    if (item.slot < 0) {
      item.slot = this.#items.length;
      this.#items.push(item);
      this.#due.push(item.expires);
      this.#up(item.slot);
    } else if (item.expires < this.#due[item.slot]!) {
      this.#due[item.slot] = item.expires;
      this.#up(item.slot);
    }
  }

  /** Gives the place of one item to another that takes over from it. */
  replace(old: T, item: T): void {
    if (old.slot >= 0) {
      item.slot = old.slot;
      this.#items[item.slot] = item;
      old.slot = -1;
    }
    this.schedule(item);
  }

  remove(item: T): void {
    const slot = item.slot;
    if (slot < 0) return;
    item.slot = -1;
    const last = this.#items.pop()!;
    const due = this.#due.pop()!;
    if (last === item) return;
    this.#items[slot] = last;
    this.#due[slot] = due;
    last.slot = slot;
    this.#up(slot);
    this.#down(last.slot);
  }

  /** Takes out the next item that has ended by `now`; the rest is put where it belongs by then. */
  take(now: number): T | undefined {
    while (this.#items.length > 0 && this.#due[0]! <= now) {
      const item = this.#items[0]!;
      if (item.expires <= now) {
        this.remove(item);
        return item;
      }
      this.#due[0] = item.expires;
      this.#down(0);
    }
    return undefined;
  }

  #swap(a: number, b: number): void {
    const item = this.#items[a]!;
    const due = this.#due[a]!;
    this.#items[a] = this.#items[b]!;
    this.#due[a] = this.#due[b]!;
    this.#items[b] = item;
    this.#due[b] = due;
    this.#items[a]!.slot = a;
    item.slot = b;
  }

  #up(slot: number): void {
    while (slot > 0) {
      const parent = (slot - 1) >> 1;
      if (this.#due[parent]! <= this.#due[slot]!) return;
      this.#swap(parent, slot);
      slot = parent;
    }
  }

  #down(slot: number): void {
    const length = this.#items.length;
    for (;;) {
      let least = slot;
      for (let child = 2 * slot + 1; child <= 2 * slot + 2; child++) {
        if (child < length && this.#due[child]! < this.#due[least]!) {
          least = child;
        }
      }
      if (least === slot) return;
      this.#swap(least, slot);
      slot = least;
    }
  }
}

/** One timer that can be set again and again and never keeps the process alive. */
export class Alarm {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #at = Infinity;
  readonly #ring: () => void;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /** Rings at `at` (ms since the epoch), or earlier if it is set for an earlier time already. */
  set(at: number): void {
    if (this.#timer !== undefined && this.#at <= at) return;
    this.stop();
    this.#at = at;
    const delay = Math.min(Math.max(at - Date.now(), 1), MAX_TIMER);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#ring();
    }, delay);
    unref(this.#timer);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#at = Infinity;
  }
}

/** Lets the process end although the timer is set, on runtimes whose timers are objects. */
export function unref(timer: unknown): void {
  (timer as { unref?: () => void }).unref?.();
}
