/**
 * A bounded map whose entries expire.
 *
 * @module
 */

/** How many entries a map holds at most, unless it is made with another limit. */
const MAX_ENTRIES = 1_000;

/** A map that, with each `set`, drops stale entries from its old end, and the oldest beyond a limit. */
export class TtlMap<T> {
  readonly #values = new Map<string, T>();
  readonly #until: (value: T) => number;
  readonly #limit: number;

  /**
   * @param until when a value is stale, ms since the epoch
   * @param limit how many entries it holds at most
   */
  constructor(until: (value: T) => number, limit: number = MAX_ENTRIES) {
    this.#until = until;
    this.#limit = limit;
  }

  /** The value, stale or not, if it was not dropped yet. */
  get(key: string): T | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: T): void {
    this.#values.set(key, value);
    const now = Date.now();
    for (const [old, kept] of this.#values) {
      if (this.#values.size <= this.#limit && this.#until(kept) > now) {
        return;
      }
      this.#values.delete(old);
    }
  }

  delete(key: string): void {
    this.#values.delete(key);
  }
}
