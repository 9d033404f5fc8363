/**
 * {@linkcode SqliteStore}: sessions in one durable file, shared by the
 * processes of one machine.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import { Alarm } from "../base/expiry_heap.ts";
import {
  type AcquireResult,
  type BeginOptions,
  type BeginResult,
  type CommitResult,
  EXPIRED_GRACE,
  type FormerId,
  type MoveCondition,
  type MoveResult,
  type RemovalReason,
  type ScannedSession,
  type SessionRecord,
  type SharedStore,
  type StoredRecord,
  type Version,
} from "../api/store.ts";
import { SqliteFile } from "./sqlite/file.ts";
import { pause } from "../base/timers.ts";
import { fromColumn } from "../base/text_column.ts";
import { SqliteLeases } from "./sqlite/leases.ts";
import { SqliteLocks } from "./sqlite/locks.ts";
import { checkOptions, type SqliteStoreOptions } from "./sqlite/options.ts";
import { type Row, SqliteSessions, toRecord } from "./sqlite/sessions.ts";
import { SqliteWrites } from "./sqlite/writes.ts";

// the types of the store contract, so that users of this module need no other
export type * from "../api/store_contract.ts";
export type { SqliteStoreOptions };

/** The listeners of {@linkcode SqliteStore}; they receive removals through this instance only. */
export interface SqliteStoreEvents {
  /** A session was removed, for any reason. */
  destroy: [store: SqliteStore, sid: string];
  /** A session was removed, and why. */
  removed: [sid: string, reason: RemovalReason, record: SessionRecord];
  /** A timed clean-up failed; emitted only if there is a listener. */
  error: [error: unknown];
}

/** How many sessions one transaction of a clean-up removes, so that it blocks neither this process nor the writes of others. */
const CLEANUP_BATCH = 100;

/** How many sessions one query looks up. */
const MAX_VERSIONS = 500;

/**
 * Sessions in one SQLite file, which survives restarts and crashes and can be
 * shared by the processes of one machine. It needs Node 22.13 or newer, or
 * Deno with `--allow-read` and `--allow-write` for the file.
 *
 * A waiter for a session that is held in the same process is woken at once.
 * Across processes there is no notification: the waiting process polls every 2
 * to 20 ms, without taking SQLite's write lock, and when the lease expires.
 *
 * @example Write and read a record
 * ```ts
 * import { SqliteStore } from "@koa-io/session/sqlite";
 * import { assertEquals } from "@std/assert";
 *
 * await using store = new SqliteStore({ path: ":memory:" });
 * const record = {
 *   data: '{"user":"ada"}',
 *   maxAge: 60_000,
 *   expires: Date.now() + 60_000,
 *   absoluteEnd: undefined,
 *   cookie: undefined,
 *   clientId: undefined,
 *   settled: false,
 *   user: "ada",
 *   created: Date.now(),
 *   authenticatedAt: undefined,
 *   lastUsed: undefined,
 *   arrived: undefined,
 *   meta: undefined,
 *   handle: undefined,
 * };
 * const version = await store.write("sid", record, null);
 * assertEquals(await store.read("sid"), { ...record, version: version! });
 * ```
 *
 * @example Use it with the bridge
 * ```ts ignore
 * import { bridgeSession } from "@koa-io/session";
 * import { SqliteStore } from "@koa-io/session/sqlite";
 *
 * bridgeSession(app, io, { store: new SqliteStore({ path: "sessions.db" }) });
 * ```
 */
export class SqliteStore implements SharedStore {
  /** `"shared"`: as far as the processes of one machine. */
  readonly scope = "shared";

  readonly #file: SqliteFile;
  readonly #sessions: SqliteSessions;
  readonly #leases: SqliteLeases;
  readonly #locks: SqliteLocks;
  readonly #writes: SqliteWrites;
  readonly #events = new EventEmitter().setMaxListeners(0);
  readonly #alarm: Alarm | undefined;
  readonly #cleanupMs: number;

  /**
   * Opens the file, synchronously.
   *
   * @param options see {@linkcode SqliteStoreOptions}
   * @throws {TypeError} when an option is of the wrong type
   * @throws {RangeError} when an option is out of range
   * @throws {Error} when the file cannot be opened, or is not a file of this store
   */
  constructor(options: SqliteStoreOptions) {
    const { path, busyTimeout, synchronous, autoCleanup, autoCleanupMs } =
      checkOptions(options);
    this.#file = new SqliteFile(path, busyTimeout, synchronous);
    this.#cleanupMs = autoCleanupMs;
    this.#sessions = new SqliteSessions(this.#file);
    this.#leases = new SqliteLeases(this.#file, this.#sessions);
    this.#locks = new SqliteLocks(this.#file);
    this.#writes = new SqliteWrites(this.#sessions, this.#leases);
    if (autoCleanup) {
      this.#alarm = new Alarm(() => void this.#sweep());
      this.#alarm.set(Date.now() + this.#cleanupMs);
    }
  }

  /** See {@linkcode AtomicStore.read}. */
  read(sid: string): Promise<StoredRecord | undefined> {
    return this.#file.read(() => {
      const row = this.#sessions.find(sid, Date.now() - EXPIRED_GRACE);
      return row && toRecord(row);
    });
  }

  /** See {@linkcode AtomicStore.write}. */
  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
  ): Promise<Version | undefined> {
    return this.#write((writes) => writes.write(sid, record, expected));
  }

  /** See {@linkcode AtomicStore.begin}. */
  begin(
    sid: string,
    record: SessionRecord,
    options: BeginOptions = {},
  ): Promise<BeginResult> {
    return this.#write((writes) => writes.begin(sid, record, options));
  }

  /** See {@linkcode AtomicStore.extend}. */
  extend(sid: string, expires: number, lastUsed?: number): Promise<boolean> {
    return this.#file.write(() =>
      this.#sessions.extend(sid, expires, lastUsed)
    );
  }

  /** See {@linkcode AtomicStore.destroy}. */
  async destroy(sid: string, note?: string): Promise<boolean> {
    const row = await this.#write((writes) => writes.destroy(sid, note));
    if (!row) return false;
    this.#removed(row, "destroyed");
    this.#leases.wake(sid);
    return true;
  }

  /** See {@linkcode AtomicStore.move}. */
  async move(
    from: string,
    to: string,
    record: SessionRecord,
    condition: MoveCondition,
    note: string,
  ): Promise<MoveResult> {
    const { old, ...result } = await this.#write((writes) =>
      writes.move(from, to, record, condition, note)
    );
    if (old) this.#removed(old, "moved");
    this.#leases.wake(from);
    return result;
  }

  /** See {@linkcode AtomicStore.former}. */
  former(sid: string): Promise<FormerId | undefined> {
    return this.#file.read(() => this.#sessions.former(sid));
  }

  /** See {@linkcode AtomicStore.byClient}. */
  byClient(clientId: string): Promise<string | undefined> {
    return this.#file.read(() => this.#sessions.byClient(clientId));
  }

  /** See {@linkcode AtomicStore.byUser}. */
  byUser(user: string): Promise<readonly string[]> {
    return this.#file.read(() => this.#sessions.byUser(user));
  }

  /** See {@linkcode AtomicStore.scan}. */
  async *scan(limit: number): AsyncGenerator<readonly ScannedSession[]> {
    for (let start: string | undefined = ""; start !== undefined;) {
      const { found, last } = await this.#file.read(() =>
        this.#sessions.after(start!, limit)
      );
      yield found;
      start = last;
    }
  }

  /** See {@linkcode SharedStore.acquire}. */
  acquire(
    sid: string,
    token: string,
    holdMs: number,
    waitMs: number,
  ): Promise<AcquireResult> {
    return this.#leases.acquire(sid, token, holdMs, waitMs);
  }

  /** See {@linkcode SharedStore.commit}. */
  async commit(
    sid: string,
    token: string,
    record: SessionRecord | undefined,
  ): Promise<CommitResult> {
    const committed = await this.#write((writes) =>
      writes.commit(sid, token, record)
    );
    this.#leases.wake(sid);
    return committed;
  }

  /** See {@linkcode SharedStore.tryLock}. */
  tryLock(name: string, token: string, holdMs: number): Promise<boolean> {
    return this.#file.write(() => this.#locks.take(name, token, holdMs));
  }

  /** See {@linkcode SharedStore.unlock}. */
  unlock(name: string, token: string): Promise<void> {
    return this.#file.write(() => this.#locks.release(name, token));
  }

  /** See {@linkcode SharedStore.byHash}. */
  byHash(hash: string): Promise<string | undefined> {
    return this.#file.read(() => this.#sessions.byHash(hash));
  }

  /** See {@linkcode SharedStore.versions}. */
  async versions(
    sids: readonly string[],
  ): Promise<readonly (Version | undefined)[]> {
    const versions: (Version | undefined)[] = [];
    for (let from = 0; from < sids.length; from += MAX_VERSIONS) {
      const some = sids.slice(from, from + MAX_VERSIONS);
      versions.push(
        ...await this.#file.read(() => this.#sessions.versions(some)),
      );
    }
    return versions;
  }

  /**
   * Removes expired sessions, in bounded transactions, so that other processes
   * can write in between. Sessions that expired within the last
   * {@linkcode EXPIRED_GRACE} ms stay.
   *
   * @returns how many sessions it removed
   */
  async cleanup(): Promise<number> {
    for (let cleared = 0;;) {
      const batch = await this.#file.write(() =>
        this.#file.transaction(() => {
          this.#leases.purge(CLEANUP_BATCH);
          this.#locks.purge(CLEANUP_BATCH);
          return this.#sessions.purge(CLEANUP_BATCH);
        })
      );
      for (const row of batch) this.#removed(row, "expired");
      cleared += batch.length;
      if (batch.length < CLEANUP_BATCH) return cleared;
      await pause(1);
    }
  }

  /**
   * Adds a listener to removals through this instance; removals by other
   * processes are not reported.
   *
   * @param event `"destroy"` → `(store, sid)`, `"removed"` → `(sid, reason, record)`
   * @param listener is called with these
   * @returns this store
   */
  on<K extends keyof SqliteStoreEvents>(
    event: K,
    listener: (...args: SqliteStoreEvents[K]) => void,
  ): this {
    this.#events.on(event, listener as (...args: unknown[]) => void);
    return this;
  }

  /**
   * Removes a listener that {@linkcode SqliteStore.on} added.
   *
   * @param event the event
   * @param listener the listener
   * @returns this store
   */
  off<K extends keyof SqliteStoreEvents>(
    event: K,
    listener: (...args: SqliteStoreEvents[K]) => void,
  ): this {
    this.#events.off(event, listener as (...args: unknown[]) => void);
    return this;
  }

  /** Closes the file. Pending `acquire` calls reject; a second call does nothing. */
  close(): void {
    this.#alarm?.stop();
    this.#leases.close();
    this.#file.close();
  }

  /** The same as {@linkcode SqliteStore.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** The same as {@linkcode SqliteStore.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  #write<T>(body: (writes: SqliteWrites) => T): Promise<T> {
    return this.#file.write(() =>
      this.#file.transaction(() => body(this.#writes))
    );
  }

  #removed(row: Row, reason: RemovalReason): void {
    const sid = fromColumn(row.sid);
    this.#events.emit("destroy", this, sid);
    this.#events.emit("removed", sid, reason, toRecord(row));
  }

  async #sweep(): Promise<void> {
    try {
      await this.cleanup();
    } catch (error) {
      // reads and writes fail in the same way; without a listener, emit would throw
      if (this.#events.listenerCount("error") > 0) {
        this.#events.emit("error", error);
      }
    }
    if (!this.#file.closed) this.#alarm?.set(Date.now() + this.#cleanupMs);
  }
}
