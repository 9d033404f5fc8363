/**
 * A binary heap of items by time, and a timer. Finding the k items that are
 * due among n costs O(k log n), and the timer never keeps a process alive.
 *
 * @module
 */
import { MAX_TIMER } from "./timers.ts";

/** An item of the heap. It holds its own position, so that removal needs no search. */
export interface Scheduled {
  /** The item's position in the heap; -1 while it is in none. */
  slot: number;
  /** When it ends, ms since the epoch. It may have moved since the item was scheduled. */
  readonly expires: number;
}

/** A min-heap of items by the time they were scheduled for. */
export class ExpiryHeap<T extends Scheduled> {
  readonly #items: T[] = [];
  /** Parallel to the items: a double in an object field costs 16 bytes more. */
  readonly #due: number[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** When the next item is to be examined, or `undefined` when there is none. */
  get next(): number | undefined {
    return this.#due[0];
  }

  /**
   * Inserts an item, or moves it to an earlier time. A later time takes effect
   * when the earlier one is reached: activity that moves the end costs nothing.
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

  /** Replaces an item by another, at its position. */
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

  /** Removes the next item that has ended by `now`; items whose end has moved are rescheduled. */
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

/** A timer that can be set repeatedly and never keeps the process alive. */
export class Alarm {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #at = Infinity;
  readonly #fire: () => void;

  constructor(fire: () => void) {
    this.#fire = fire;
  }

  /** Fires at `at` (ms since the epoch), or earlier if it is set for an earlier time already. */
  set(at: number): void {
    if (this.#timer !== undefined && this.#at <= at) return;
    this.stop();
    this.#at = at;
    const delay = Math.min(Math.max(at - Date.now(), 1), MAX_TIMER);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#fire();
    }, delay);
    unref(this.#timer);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#at = Infinity;
  }
}

/** Lets the process end while the timer is set, on runtimes whose timers are objects. */
export function unref(timer: unknown): void {
  (timer as { unref?: () => void }).unref?.();
}
