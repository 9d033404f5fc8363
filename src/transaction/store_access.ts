/**
 * Calls to the store: limited in time, and blind to sessions that were
 * recently terminated in this process.
 *
 * @module
 */
import { isThenable, toStoreError, withTimeout } from "../base/async.ts";
import {
  type Awaitable,
  isAlive,
  type ScannedSession,
  type StoredRecord,
} from "../api/store.ts";
import type { RecordStore } from "../stores/record_store.ts";
import { Tombstones } from "./tombstones.ts";

/** The store as transactions use it. */
export class StoreAccess {
  /** Recently terminated ids; reads of them that began before the end are ignored. */
  readonly tombstones: Tombstones = new Tombstones();
  /** Terminations in progress in this process, by session id. */
  readonly terminating: Map<string, Promise<boolean>> = new Map();
  readonly #records: RecordStore;
  readonly #timeout: number;

  /** @param timeout limit of one store call, in ms */
  constructor(records: RecordStore, timeout: number) {
    this.#records = records;
    this.#timeout = timeout;
  }

  /** Whether other processes may use the store. */
  get isShared(): boolean {
    return this.#records.scope === "shared";
  }

  /** See {@linkcode RecordStore.mayReadContext}. */
  get mayReadContext(): boolean {
    return this.#records.mayReadContext === true;
  }

  /** See {@linkcode RecordStore.needsContext}. */
  get needsContext(): boolean {
    return this.#records.needsContext === true;
  }

  /**
   * Calls the store.
   *
   * @throws {SessionStoreError} when the store fails, or gives no answer
   * within the limit
   */
  call<T>(
    operation: string,
    call: (records: RecordStore) => Awaitable<T>,
    limit?: number,
  ): Awaitable<T> {
    let answer: Awaitable<T>;
    try {
      answer = call(this.#records);
    } catch (cause) {
      throw toStoreError(operation, cause);
    }
    return isThenable(answer)
      ? this.#limited(operation, answer as PromiseLike<T>, limit)
      : answer;
  }

  /** Reads a record; `undefined` for a session that ended after the read began. */
  read(sid: string, ctx: unknown): Awaitable<StoredRecord | undefined> {
    const since = this.tombstones.clock;
    let answer: Awaitable<StoredRecord | undefined>;
    try {
      answer = this.#records.read(sid, ctx);
    } catch (cause) {
      throw toStoreError("read", cause);
    }
    return isThenable(answer)
      ? this.#limited("read", answer)
        .then((record) => this.#visible(sid, record, since))
      : this.#visible(sid, answer, since);
  }

  #visible(
    sid: string,
    record: StoredRecord | undefined,
    since: number,
  ): StoredRecord | undefined {
    return isAlive(record) && this.tombstones.hides(sid, since)
      ? undefined
      : record;
  }

  #limited<T>(
    operation: string,
    answer: PromiseLike<T>,
    limit: number = this.#timeout,
  ): Promise<T> {
    return withTimeout(answer as Promise<T>, operation, limit);
  }

  /** The sessions of the store, in batches, each within the time limit. */
  async *scan(
    action: string,
    limit: number,
  ): AsyncGenerator<readonly ScannedSession[], void, undefined> {
    if (typeof this.#records.scan !== "function") {
      throw new TypeError(
        `Cannot ${action} as the store has no method scan, which is optional in the contract`,
      );
    }
    const batches = this.#records.scan(limit)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.call("read", () => batches.next());
        if (next.done) return;
        yield next.value;
      }
    } finally {
      Promise.resolve(batches.return?.()).catch(() => {});
    }
  }

  /**
   * Destroys a session, whatever locks it.
   *
   * @returns whether it existed, as far as the store reports
   */
  destroy(sid: string, ctx: unknown, note?: string): Awaitable<boolean> {
    return this.call("destroy", (records) => records.destroy(sid, note, ctx));
  }

  /**
   * Whether a session is known to have ended although the store may report a
   * later `destroy` of it as successful.
   */
  isKnownEnded(sid: string): boolean {
    return this.#records.reportsExistence === false &&
      this.tombstones.has(sid);
  }
}
