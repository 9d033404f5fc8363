/**
 * Actions of which one at a time runs for a key. What one has read may be older
 * than a call during it: the action of the latest call runs after it.
 *
 * @module
 */

/** An action; it is handed whether another round is due after it. */
type Action = (isDue: () => boolean) => Promise<void>;

interface Running {
  readonly done: Promise<void>;
  next: Action | undefined;
}

/** Runs actions in rounds, by key. */
export class Rounds<K> {
  readonly #running = new Map<K, Running>();

  /**
   * Runs an action: in the next microtask, or after the one that runs.
   *
   * @returns settles after the last round; rejects when that one fails
   */
  run(key: K, action: Action): Promise<void> {
    const running = this.#running.get(key);
    if (running) {
      running.next = action;
      return running.done;
    }
    const done = Promise.resolve().then(() => this.#repeat(key));
    this.#running.set(key, { done, next: action });
    return done;
  }

  async #repeat(key: K): Promise<void> {
    const running = this.#running.get(key)!;
    const isDue = () => running.next !== undefined;
    try {
      while (running.next) {
        const action = running.next;
        running.next = undefined;
        try {
          await action(isDue);
        } catch (error) {
          // the action after it does what this one could not
          if (!isDue()) throw error;
        }
      }
    } finally {
      // in the turn in which nothing was due: a later call begins anew
      this.#running.delete(key);
    }
  }
}
