/**
 * A bounded cache of values that are derived from a text.
 *
 * @module
 */

/** Values by text; the oldest one is dropped when there are too many. */
export class RecentValues<V> {
  readonly #values = new Map<string, V>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The value of a text, derived where it is not known. */
  get(text: string, derive: (text: string) => V): V {
    let value = this.#values.get(text);
    if (value === undefined) this.set(text, value = derive(text));
    return value;
  }

  /** The value of a text, if it is known. */
  peek(text: string): V | undefined {
    return this.#values.get(text);
  }

  /** Keeps a value. */
  set(text: string, value: V): void {
    if (this.#values.size >= this.#limit && !this.#values.has(text)) {
      const { value: oldest } = this.#values.keys().next();
      this.#values.delete(oldest!);
    }
    this.#values.set(text, value);
  }
}
