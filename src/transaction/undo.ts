/**
 * Undoing writes whose sessions must not exist: a write that was applied after
 * the session ended, or after its caller was told that it failed. Where the
 * store fails, the undo is repeated until it has succeeded.
 *
 * @module
 */
import { unref } from "../base/expiry_heap.ts";
import { RETRY } from "../base/timers.ts";
import type { StoreAccess } from "./store_access.ts";

/** Longest pause between two attempts, in ms. */
const MAX_PAUSE = 60_000;

/** Limit of undos that wait for another attempt. */
export const MAX_PENDING = 10_000;

/** Destroys sessions until the store confirms it. */
export class Undo {
  readonly #store: StoreAccess;
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  #closed = false;

  constructor(store: StoreAccess) {
    this.#store = store;
  }

  /** Undos that wait for another attempt. */
  get pending(): number {
    return this.#timers.size;
  }

  /**
   * Destroys a session that must not exist, now or as soon as the store allows.
   *
   * @returns resolves after the first attempt
   * @throws {SessionStoreError} when the first attempt fails; others follow
   */
  async run(sid: string, ctx: unknown): Promise<void> {
    // until the store confirms it, reads are void
    this.#store.tombstones.writeStarted(sid);
    try {
      await this.#destroy(sid, ctx);
    } catch (error) {
      this.#repeat(sid, ctx, RETRY);
      throw error;
    }
  }

  /** As `run`, where an error has no caller to receive it. */
  start(sid: string, ctx: unknown): void {
    this.run(sid, ctx).catch(() => {});
  }

  /** Gives up what waits: the records expire. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  async #destroy(sid: string, ctx: unknown): Promise<void> {
    await this.#store.destroy(sid, ctx);
    const { tombstones } = this.#store;
    // a newer tombstone also covers reads that began before this destroy
    if (tombstones.has(sid)) tombstones.add(sid);
    tombstones.writeSettled(sid);
  }

  #repeat(sid: string, ctx: unknown, pause: number): void {
    if (this.#closed || this.#timers.size >= MAX_PENDING) return;
    clearTimeout(this.#timers.get(sid));
    const timer = setTimeout(() => {
      this.#timers.delete(sid);
      this.#destroy(sid, ctx).catch(() => {
        this.#repeat(sid, ctx, Math.min(pause * 2, MAX_PAUSE));
      });
    }, pause);
    unref(timer);
    this.#timers.set(sid, timer);
  }
}
