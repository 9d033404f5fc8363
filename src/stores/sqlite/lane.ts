/**
 * Calls that wait for other processes, or for the next turn of the event loop.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import type { Turn } from "./turn.ts";

/** The first and the longest pause between two attempts, in ms. */
const PAUSE = [1, 32] as const;

interface Call {
  /** Makes an attempt; returns the error of a busy file. */
  attempt(): unknown;
  reject(error: unknown): void;
  readonly deadline: number;
}

/** How a lane knows its errors. */
interface LaneOptions {
  readonly turn: Turn;
  readonly timeout: number;
  isBusy(error: unknown): boolean;
}

/**
 * Calls in order of arrival. While the file is busy one of them is tried again,
 * for all, and those that have waited too long are rejected.
 */
export class Lane {
  readonly #options: LaneOptions;
  readonly #calls = new Set<Call>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isScheduled = false;
  #pause: number = PAUSE[0];

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /** Runs `work` at once where that is possible, else in its turn. */
  run<T>(work: () => T): Promise<T> {
    const { turn, timeout, isBusy } = this.#options;
    return new Promise((resolve, reject) => {
      const attempt = () => {
        try {
          resolve(turn.spend(work));
        } catch (error) {
          if (isBusy(error)) return error;
          reject(error);
        }
      };
      const isFirst = this.#calls.size === 0;
      if (isFirst && !turn.isOver && attempt() === undefined) return;
      const deadline = performance.now() + timeout;
      this.#calls.add({ attempt, reject, deadline });
      if (isFirst) this.#schedule(turn.isOver);
    });
  }

  /** Rejects all calls that wait. */
  stop(error: Error): void {
    clearTimeout(this.#timer);
    for (const { reject } of this.#calls) reject(error);
    this.#calls.clear();
  }

  #schedule(soon: boolean): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const next = () => {
      this.#isScheduled = false;
      this.#next();
    };
    // a random pause, so that two processes do not collide again
    if (soon) setImmediate(next);
    else this.#timer = setTimeout(next, Math.random() * this.#pause);
  }

  #next(): void {
    for (const call of this.#calls) {
      if (this.#options.turn.isOver) return this.#schedule(true);
      const busy = call.attempt();
      if (busy !== undefined) return this.#isBusy(busy);
      this.#calls.delete(call);
      this.#pause = PAUSE[0];
    }
  }

  #isBusy(error: unknown): void {
    const now = performance.now();
    for (const call of this.#calls) {
      if (call.deadline > now) break;
      this.#calls.delete(call);
      call.reject(error);
    }
    this.#pause = Math.min(2 * this.#pause, PAUSE[1]);
    if (this.#calls.size > 0) this.#schedule(false);
  }
}
