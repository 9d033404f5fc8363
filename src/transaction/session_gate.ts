/**
 * How a session is opened and closed again: a turn in this process's queue, or
 * a lease on a store that many processes share. Either way the record that is
 * handed out is the current one, and what is written is written only if the
 * session was given to nobody else since.
 *
 * @module
 */
import { SessionTimeoutError } from "../api/errors.ts";
import { Tombstones } from "./tombstones.ts";
import {
  isThenable,
  toStoreError,
  withFinally,
  withTimeout,
} from "../base/async.ts";
import { SessionLeases } from "./leases.ts";
import { type Hold, Mutex, WaitTimeout } from "../base/mutex.ts";
import {
  type Awaitable,
  isAlive,
  type SessionRecord,
  type SharedStore,
  type StoredRecord,
  type Version,
} from "../api/store.ts";
import type { RecordStore } from "../stores/open_store.ts";
import type { CloseResult, HeldSession, OpenResult } from "./session_lock.ts";

/** The one place where sessions are waited for and the store is asked. */
export class SessionGate {
  /** How often somebody had to wait for a session. */
  waits = 0;
  /** How many waits and holds went past their time. */
  timeouts = 0;
  /** What is not believed of the store any more. */
  readonly tombstones: Tombstones = new Tombstones();
  /** The ends that are under way in this process, by session. */
  readonly terminating: Map<string, Promise<boolean>> = new Map();
  /** See {@linkcode RecordStore.needsExclusiveWrites}. */
  readonly takesTurns: boolean;
  /** See {@linkcode RecordStore.needsContext}. */
  readonly needsContext: boolean;
  readonly #records: RecordStore;
  readonly #leases: SessionLeases | undefined;
  readonly #mutex: Mutex<string>;
  readonly #lockTimeout: number;
  readonly #storeTimeout: number;

  constructor(
    records: RecordStore,
    limits: { readonly lockTimeout: number; readonly storeTimeout: number },
  ) {
    this.#records = records;
    this.takesTurns = records.needsExclusiveWrites === true;
    this.needsContext = records.needsContext === true;
    this.#leases = records.scope === "shared"
      ? new SessionLeases(this, records as SharedStore, limits)
      : undefined;
    this.#lockTimeout = limits.lockTimeout;
    this.#storeTimeout = limits.storeTimeout;
    this.#mutex = new Mutex(limits.lockTimeout);
  }

  /**
   * Asks the store something. A store that fails, or says nothing for
   * `storeTimeout`, is an error to the caller.
   */
  call<T>(
    operation: string,
    call: (records: RecordStore) => Awaitable<T>,
    limit: number = this.#storeTimeout,
  ): Awaitable<T> {
    let answer: Awaitable<T>;
    try {
      answer = call(this.#records);
    } catch (cause) {
      throw toStoreError(operation, cause);
    }
    if (!isThenable(answer)) return answer;
    return withTimeout(answer as Promise<T>, operation, limit);
  }

  /** Reads a record; that of a session which ended while the store was asked is none. */
  read(sid: string, ctx: unknown): Awaitable<StoredRecord | undefined> {
    const { tombstones: graves } = this;
    const moment = graves.clock;
    const shown = (record: StoredRecord | undefined) =>
      isAlive(record) && graves.hides(sid, moment) ? undefined : record;
    const record = this.call("read", (records) => records.read(sid, ctx));
    return record instanceof Promise ? record.then(shown) : shown(record);
  }

  /** Whether nobody in this process holds the session. */
  isFree(sid: string): boolean {
    return this.#mutex.isFree(sid);
  }

  /** The session is gone: who holds it learns it at the end, who waits at once. */
  revoke(sid: string, why?: string): void {
    this.#mutex.revoke(sid, why);
  }

  /**
   * Waits for a turn and reads.
   *
   * @throws {SessionTimeoutError} when others hold the session for too long
   */
  open(sid: string, ctx: unknown): Awaitable<OpenResult> {
    return this.#leases
      ? this.#leases.open(sid)
      : this.#turn(sid, (hold, waited) => this.#read(hold, waited, ctx));
  }

  /**
   * Waits for a turn, reads nothing, and writes. For stores of this process only.
   *
   * @returns what the write came to, or `undefined` when the session ended while it was on its way
   */
  runExclusive<T>(
    sid: string,
    ctx: unknown,
    operation: string,
    write: (records: RecordStore) => Awaitable<T>,
  ): Awaitable<T | undefined> {
    return this.#turn(sid, (hold) => {
      hold.committing = true;
      const written = (value: T): Awaitable<T | undefined> =>
        hold.state === "revoked"
          ? this.#undo(hold, ctx).then(() => undefined)
          : value;
      return withFinally(
        () => this.#land(hold, ctx, operation, write, written),
        () => this.#mutex.release(hold),
      );
    });
  }

  #turn<T>(
    sid: string,
    go: (hold: Hold<string>, waited: boolean) => Awaitable<T>,
  ): Awaitable<T> {
    const hold = this.#mutex.acquire(sid);
    if (!(hold instanceof Promise)) return go(hold, false);
    this.waits++;
    return this.#waitTurn(sid, hold, go);
  }

  async #waitTurn<T>(
    sid: string,
    waiting: Promise<Hold<string> | undefined>,
    go: (hold: Hold<string>, waited: boolean) => Awaitable<T>,
  ): Promise<T> {
    try {
      // a revoked wait asks again: the session is gone, or another has its id
      for (;;) {
        const hold = await waiting;
        if (hold) return await go(hold, true);
        const next = this.#mutex.acquire(sid);
        if (!(next instanceof Promise)) return await go(next, true);
        waiting = next;
      }
    } catch (error) {
      if (!(error instanceof WaitTimeout)) throw error;
      this.timeouts++;
      throw new SessionTimeoutError("wait", this.#lockTimeout);
    }
  }

  #read(
    hold: Hold<string>,
    waited: boolean,
    ctx: unknown,
  ): Awaitable<OpenResult> {
    const opened = (record: StoredRecord | undefined): OpenResult => {
      if (isAlive(record)) return this.#held(hold, record, ctx);
      // who was under way to a session that ended is as one who waited for it
      waited ||= hold.state === "revoked";
      this.#mutex.release(hold);
      return { missing: true, waited };
    };
    try {
      const record = this.read(hold.key, ctx);
      if (!(record instanceof Promise)) return opened(record);
      return record.then(opened, (error) => {
        this.#mutex.release(hold);
        throw error;
      });
    } catch (error) {
      this.#mutex.release(hold);
      throw error;
    }
  }

  #held(hold: Hold<string>, record: StoredRecord, ctx: unknown): HeldSession {
    const sid = hold.key;
    return {
      sid,
      record,
      release: () => this.#mutex.release(hold),
      revoked: () => hold.state === "revoked" ? { why: hold.why } : undefined,
      close: (next, expected = record.version) => {
        if (hold.state === "revoked") return { status: "ended", why: hold.why };
        if (hold.state === "lost") return this.#lost();
        if (!next) {
          this.#mutex.release(hold);
          return { status: "done", version: record.version };
        }
        return this.#write(hold, next, expected, ctx);
      },
    };
  }

  #write(
    hold: Hold<string>,
    record: SessionRecord,
    expected: Version,
    ctx: unknown,
  ): Awaitable<CloseResult> {
    const { key: sid } = hold;
    hold.committing = true;
    const written = (version: Version | undefined): Awaitable<CloseResult> => {
      // a session that ended while its write was on the way stays dead
      if (hold.state === "revoked") return this.#undo(hold, ctx);
      if (version === undefined) return this.#refused(hold, ctx);
      this.#mutex.release(hold);
      return { status: "done", version };
    };
    try {
      const closed = this.#land(
        hold,
        ctx,
        "write",
        (records) => records.write(sid, record, expected, ctx),
        written,
      );
      if (!(closed instanceof Promise)) return closed;
      return closed.catch((error) => {
        this.#mutex.release(hold);
        throw error;
      });
    } catch (error) {
      this.#mutex.release(hold);
      throw error;
    }
  }

  /** Asks for a write, and goes on with what it came to when no end is under way any more. */
  #land<T, R>(
    hold: Hold<string>,
    ctx: unknown,
    operation: string,
    write: (records: RecordStore) => Awaitable<T>,
    then: (value: T) => Awaitable<R>,
  ): Awaitable<R> {
    let landing: Awaitable<T> | undefined;
    const value = this.call(operation, (records) => landing = write(records));
    if (!(value instanceof Promise)) return then(value);
    return this.#landed(hold.key, ctx, value, landing as Promise<T>, then);
  }

  async #landed<T, R>(
    sid: string,
    ctx: unknown,
    answer: Promise<T>,
    landing: Promise<T>,
    then: (value: T) => Awaitable<R>,
  ): Promise<R> {
    this.tombstones.writeStarted(sid);
    let value: T;
    try {
      value = await answer;
    } catch (error) {
      // nobody waits for it any more, and it may be done after all
      this.#landedLate(sid, ctx, landing);
      throw error;
    }
    try {
      const ending = this.terminating.get(sid);
      if (ending) await ending;
      return await then(value);
    } finally {
      this.tombstones.writeSettled(sid);
    }
  }

  async #landedLate(
    sid: string,
    ctx: unknown,
    landing: Promise<unknown>,
  ): Promise<void> {
    try {
      await landing;
      if (this.tombstones.has(sid)) await this.#destroy(sid, ctx);
    } catch {
      // the error was the caller's
    } finally {
      this.tombstones.writeSettled(sid);
    }
  }

  async #undo(hold: Hold<string>, ctx: unknown): Promise<CloseResult> {
    await this.#destroy(hold.key, ctx);
    return { status: "ended", why: hold.why };
  }

  async #destroy(sid: string, ctx: unknown): Promise<void> {
    await this.call(
      "destroy",
      (records) => records.destroy(sid, undefined, ctx),
    );
    // for those who have read it meanwhile and were not answered yet
    if (this.tombstones.has(sid)) this.tombstones.add(sid);
  }

  async #refused(hold: Hold<string>, ctx: unknown): Promise<CloseResult> {
    let record: StoredRecord | undefined;
    try {
      record = await this.read(hold.key, ctx);
    } catch (error) {
      this.#mutex.release(hold);
      throw error;
    }
    if (isAlive(record)) return { status: "changed", record };
    this.#mutex.release(hold);
    return { status: "ended" };
  }

  #lost(): CloseResult {
    this.timeouts++;
    return { status: "lost" };
  }
}
