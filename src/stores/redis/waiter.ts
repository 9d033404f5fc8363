/**
 * A pending `acquire` call.
 *
 * @module
 */
import { MAX_TIMER } from "../../base/timers.ts";
import type { AcquireResult } from "../../api/store.ts";

/** The result of a wait that did not time out. */
export type WaitResult = Exclude<AcquireResult, { readonly status: "timeout" }>;

/** A pending `acquire` call, from its first request to its result. */
export class Waiter {
  /** The result, once there is one. */
  result: WaitResult | undefined;
  /** The name of the grant that its last request asked for. */
  grant = "";
  /** Whether Redis answered that another caller holds the lease. */
  waited = false;
  /** Whether its call is over. */
  over = false;
  /** Whether it may be queued in Redis, and has to leave the queue. */
  mayBeQueued = false;
  /** A message may have been missed: it must ask again instead of waiting. */
  #mustAsk = false;
  #asking = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  /** Sets the result. */
  settle(result: WaitResult): WaitResult {
    this.result = result;
    this.mayBeQueued = false;
    return result;
  }

  /** Sets the result from a message, and ends the wait. */
  deliver(result: WaitResult): void {
    this.waited = true;
    this.settle(result);
    this.#wake?.();
  }

  /** Ends the wait with an error. */
  stop(error: Error): void {
    this.#error = error;
    this.#wake?.();
  }

  /** Ends the pause, so that Redis is asked again. */
  askAgain(): void {
    this.#mustAsk = true;
    if (!this.#asking) this.#wake?.();
  }

  /**
   * Waits until the request is answered, `ms` have passed, or a message arrives.
   *
   * @param queued whether the request may queue it
   */
  async ask<T>(
    request: Promise<T>,
    ms: number,
    queued: boolean,
  ): Promise<T | undefined> {
    const wasQueued = queued || this.mayBeQueued;
    this.mayBeQueued = this.#asking = true;
    this.#mustAsk = false;
    const reply = await this.#until(ms, request);
    this.#asking = false;
    if (reply !== undefined && !this.result) this.mayBeQueued = wasQueued;
    return reply;
  }

  /** Waits until a message arrives, `ms` have passed, or `other` is settled. */
  async pause(ms: number, other?: Promise<unknown>): Promise<void> {
    if (!this.#mustAsk) await this.#until(ms, other);
  }

  #until<T>(ms: number, other: Promise<T> | undefined): Promise<T | undefined> {
    return new Promise<T | undefined>((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer);
        act();
      };
      this.#wake = () =>
        settle(() => this.#error ? reject(this.#error) : resolve(undefined));
      const timer = setTimeout(
        () => settle(() => resolve(undefined)),
        Math.min(ms, MAX_TIMER),
      );
      if (this.#error) this.#wake();
      other?.then(
        (value) => settle(() => resolve(value)),
        (error) => settle(() => reject(error)),
      );
    });
  }
}
