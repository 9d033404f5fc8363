/**
 * Writes to a store of this process, tracked until they are answered: one that
 * is applied after its session ended is undone.
 *
 * @module
 */
import type { Awaitable } from "../api/store.ts";
import type { RecordStore } from "../stores/record_store.ts";
import type { StoreAccess } from "./store_access.ts";
import type { Undo } from "./undo.ts";

/** Sends writes and follows them. */
export class TrackedWrites {
  readonly #store: StoreAccess;
  readonly #undo: Undo;

  constructor(store: StoreAccess, undo: Undo) {
    this.#store = store;
    this.#undo = undo;
  }

  /** Writes, and continues with the result once no termination is in progress. */
  run<T, R>(
    sid: string,
    ctx: unknown,
    operation: string,
    write: (records: RecordStore) => Awaitable<T>,
    next: (value: T) => Awaitable<R>,
  ): Awaitable<R> {
    let sent: Awaitable<T> | undefined;
    const answer = this.#store.call(
      operation,
      (records) => sent = write(records),
    );
    if (!(answer instanceof Promise)) return next(answer);
    return this.#answered(sid, ctx, answer, sent as Promise<T>, next);
  }

  /** @param sent the store's own promise, which may settle after `answer` timed out */
  async #answered<T, R>(
    sid: string,
    ctx: unknown,
    answer: Promise<T>,
    sent: Promise<T>,
    next: (value: T) => Awaitable<R>,
  ): Promise<R> {
    const { tombstones, terminating } = this.#store;
    tombstones.writeStarted(sid);
    let value: T;
    try {
      value = await answer;
    } catch (error) {
      // the store may still apply the write
      this.#undoLate(sid, ctx, sent);
      throw error;
    }
    try {
      const termination = terminating.get(sid);
      if (termination) await termination;
      return await next(value);
    } finally {
      tombstones.writeSettled(sid);
    }
  }

  async #undoLate(
    sid: string,
    ctx: unknown,
    sent: Promise<unknown>,
  ): Promise<void> {
    const { tombstones, terminating } = this.#store;
    try {
      // one that fails may have been applied before
      await sent.catch(() => {});
      await terminating.get(sid);
      if (tombstones.has(sid)) await this.#undo.run(sid, ctx);
    } catch {
      // reported to the caller already
    } finally {
      tombstones.writeSettled(sid);
    }
  }
}
