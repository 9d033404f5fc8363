/**
 * A limit on how long the synchronous calls of SQLite occupy one turn of the
 * event loop.
 *
 * @module
 */
import { setImmediate } from "node:timers";

/** How long SQLite is used in one turn of the event loop, in ms; the call that exceeds it is the last. */
const TURN_MS = 3;

/** What is left of the current turn. */
export class Turn {
  #spent = 0;
  #isTimed = false;

  /** Whether further work must wait for the next turn. */
  get isOver(): boolean {
    return this.#spent >= TURN_MS;
  }

  /** Runs `work`, and counts its time. */
  spend<T>(work: () => T): T {
    if (!this.#isTimed) {
      this.#isTimed = true;
      setImmediate(() => {
        this.#spent = 0;
        this.#isTimed = false;
      });
    }
    const from = performance.now();
    try {
      return work();
    } finally {
      this.#spent += performance.now() - from;
    }
  }
}
