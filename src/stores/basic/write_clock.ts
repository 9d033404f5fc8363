/**
 * The order of writes in this process, for stores without versions.
 *
 * @module
 */

/** Limit of ids with a time of their last write. */
const MAX_TRACKED = 10_000;

/**
 * The logical times of recent writes in this process. An id that was dropped
 * counts as written since.
 */
export class WriteClock {
  readonly #last = new Map<string, number>();
  #floor = 0;
  #now = 0;

  get now(): number {
    return this.#now;
  }

  note(sid: string): void {
    this.#last.delete(sid);
    this.#last.set(sid, ++this.#now);
    if (this.#last.size <= MAX_TRACKED) return;
    const [oldest, at] = this.#last.entries().next().value!;
    this.#floor = at;
    this.#last.delete(oldest);
  }

  since(sid: string, moment: number): boolean {
    return (this.#last.get(sid) ?? this.#floor) > moment;
  }
}
