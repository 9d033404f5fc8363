/**
 * One who waits for a session.
 *
 * @module
 */
import { MAX_TIMER } from "../../base/timers.ts";
import type { AcquireResult } from "../../api/store.ts";

/** What one who waits is told. */
export type News = Exclude<AcquireResult, { readonly status: "timeout" }>;

/** One who waits, from the first question to the answer. */
export class Waiter {
  /** What it was told. */
  news: News | undefined;
  /** Whether Redis may know of it although it gave up. */
  traces = false;
  /** A message may have been missed: do not wait, ask. */
  #doubtful = false;
  #asking = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  /** It has its answer. */
  settle(news: News): News {
    this.news = news;
    this.traces = false;
    return news;
  }

  /** The answer came by message. */
  tell(news: News): void {
    this.settle(news);
    this.#wake?.();
  }

  /** It must not wait any longer. */
  stop(error: Error): void {
    this.#error = error;
    this.#wake?.();
  }

  /** It should ask again. */
  doubt(): void {
    this.#doubtful = true;
    if (!this.#asking) this.#wake?.();
  }

  /**
   * Until the request is answered, `ms` are over, or it is told meanwhile.
   *
   * @param queued whether the request may leave it in the line
   */
  async ask<T>(
    request: Promise<T>,
    ms: number,
    queued: boolean,
  ): Promise<T | undefined> {
    const inLine = queued || this.traces;
    this.traces = this.#asking = true;
    this.#doubtful = false;
    const reply = await this.#until(ms, request);
    this.#asking = false;
    if (reply !== undefined && !this.news) this.traces = inLine;
    return reply;
  }

  /** Until it is told something, `ms` are over, or `other` is settled. */
  async pause(ms: number, other?: Promise<unknown>): Promise<void> {
    if (!this.#doubtful) await this.#until(ms, other);
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
