/**
 * Calls that are repeated in the background until they succeed.
 *
 * @module
 */
import { unref } from "../../base/expiry_heap.ts";
import type { Awaitable } from "../../api/store.ts";

/** The pauses between attempts, in ms: they double from the first to the second. */
const PAUSES = [100, 30_000] as const;

/** Calls in the background. Their timers never keep the process alive. */
export class Retries {
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #stopped = false;

  /**
   * Makes a call at once, and again as long as it fails.
   *
   * @param until when to give up, ms since the epoch
   */
  run(call: () => Awaitable<unknown>, until: number): void {
    void this.#attempt(call, until, PAUSES[0]);
  }

  /** Gives up all calls. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  async #attempt(
    call: () => Awaitable<unknown>,
    until: number,
    pause: number,
  ): Promise<void> {
    try {
      await call();
    } catch {
      // the error that led to the call was reported
      if (this.#stopped || Date.now() + pause >= until) return;
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        void this.#attempt(call, until, Math.min(2 * pause, PAUSES[1]));
      }, pause);
      this.#timers.add(timer);
      unref(timer);
    }
  }
}
