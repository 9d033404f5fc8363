/**
 * A pending `acquire` call.
 *
 * @module
 */
import { MAX_TIMER } from "../../base/timers.ts";

/** A pending `acquire` call, which asks again when it is woken. */
export class Waiter {
  readonly sid: string;
  /** The `birth` of the session that it waits for, once it is queued. */
  birth: string | undefined;
  #isDue = false;
  #error: Error | undefined;
  #resume: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #at = Infinity;

  constructor(sid: string) {
    this.sid = sid;
  }

  /** Ends the pause after `ms`, unless that is planned for an earlier time already. */
  wake(ms = 0): void {
    if (ms <= 0) {
      this.#isDue = true;
      this.#resume?.();
      return;
    }
    const at = performance.now() + ms;
    if (at >= this.#at) return;
    clearTimeout(this.#timer);
    this.#at = at;
    this.#timer = setTimeout(() => this.wake(), ms);
  }

  /** Ends the wait with an error. */
  stop(error: Error): void {
    this.#error = error;
    this.#resume?.();
  }

  /** Waits until it is woken, or `ms` have passed. */
  async pause(ms: number): Promise<void> {
    if (!this.#isDue && !this.#error) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(ms, MAX_TIMER));
        this.#resume = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.clear();
    if (this.#error) throw this.#error;
  }

  /** Waits for the answer to a request; rejects after `ms`, or when the wait is ended with an error. */
  async answer<T>(request: Promise<T>, ms: number): Promise<T> {
    if (this.#error) throw this.#error;
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      return await Promise.race([
        request,
        new Promise<never>((_, reject) => {
          this.#resume = () => this.#error && reject(this.#error);
          timer = setTimeout(() => reject(unanswered()), ms);
        }),
      ]);
    } finally {
      clearTimeout(timer);
      this.#resume = undefined;
    }
  }

  /** Drops what is planned. */
  clear(): void {
    this.#isDue = false;
    this.#resume = undefined;
    clearTimeout(this.#timer);
    this.#at = Infinity;
  }
}

function unanswered(): Error {
  return new Error("Cannot lock the session as PostgreSQL does not answer");
}
