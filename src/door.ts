/**
 * How a session is opened and closed again: a turn in this process's queue, or
 * a lease on a store that many processes share. Either way the record that is
 * handed out is the current one, and what is written is written only if the
 * session was given to nobody else since.
 *
 * @module
 */
import { SessionTimeoutError } from "./errors.ts";
import { Graves } from "./graves.ts";
import { always, inTime, isThenable, storeError } from "./in_time.ts";
import { Leases } from "./lease.ts";
import { type Hold, Mutex, WaitTimeout } from "./mutex.ts";
import type {
  AtomicStore,
  Awaitable,
  Begun,
  SessionRecord,
  SharedStore,
  StoredRecord,
  Version,
} from "./store.ts";

/** An atomic store that may want to know the Koa context it is used with. */
export interface Records extends AtomicStore {
  /** Set where a conditional write is safe only in a turn of its own. */
  readonly takesTurns?: boolean;
  /** Set where no session can be reached without a Koa context. */
  readonly needsContext?: boolean;
  read(sid: string, ctx?: unknown): Awaitable<StoredRecord | undefined>;
  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
    ctx?: unknown,
    changed?: boolean,
  ): Awaitable<Version | undefined>;
  begin(
    sid: string,
    record: SessionRecord,
    ctx?: unknown,
  ): Awaitable<Begun | undefined>;
  extend(sid: string, expires: number, ctx?: unknown): Awaitable<boolean>;
  destroy(
    sid: string,
    options?: { readonly movedTo?: string },
    ctx?: unknown,
  ): Awaitable<boolean>;
}

/** What came of letting a session go. */
export type Closed =
  /** Written, or there was nothing to write. */
  | { readonly status: "done"; readonly version: Version }
  /** It ended meanwhile. */
  | { readonly status: "ended"; readonly why?: string | undefined }
  /** The hold was overdue and the session was given to another. */
  | { readonly status: "lost" }
  /** Somebody wrote past the door; what is stored now is the record. The session is still held. */
  | { readonly status: "changed"; readonly record: StoredRecord };

/** A session that is open for one caller. */
export interface Held {
  readonly sid: string;
  readonly record: StoredRecord;
  /** Writes the record, if one is given, and lets go. */
  close(record?: SessionRecord, expected?: Version): Awaitable<Closed>;
  /** Lets go and asks nothing. Of no effect on a session that was let go. */
  release(): void;
  /** Says that the session ended, where that is known without asking. */
  over(): { readonly why: string | undefined } | undefined;
}

/** What came of asking for a session. */
export type Opened = Held | {
  readonly missing: true;
  readonly waited: boolean;
};

/** Whether a record that was read is of a session that lives. */
export function isAlive(
  record: StoredRecord | undefined,
): record is StoredRecord {
  return record !== undefined && record.expires > Date.now();
}

/** The one place where sessions are waited for and the store is asked. */
export class Door {
  /** How often somebody had to wait for a session. */
  waits = 0;
  /** How many waits and holds went past their time. */
  timeouts = 0;
  /** What is not believed of the store any more. */
  readonly graves: Graves = new Graves();
  /** The ends that are under way in this process, by session. */
  readonly ending: Map<string, Promise<boolean>> = new Map();
  /** See {@linkcode Records.takesTurns}. */
  readonly takesTurns: boolean;
  /** See {@linkcode Records.needsContext}. */
  readonly needsContext: boolean;
  readonly #records: Records;
  readonly #leases: Leases | undefined;
  readonly #mutex: Mutex<string>;
  readonly #lockTimeout: number;
  readonly #storeTimeout: number;

  constructor(
    records: Records,
    limits: { readonly lockTimeout: number; readonly storeTimeout: number },
  ) {
    this.#records = records;
    this.takesTurns = records.takesTurns === true;
    this.needsContext = records.needsContext === true;
    this.#leases = records.scope === "shared"
      ? new Leases(this, records as SharedStore, limits)
      : undefined;
    this.#lockTimeout = limits.lockTimeout;
    this.#storeTimeout = limits.storeTimeout;
    this.#mutex = new Mutex(limits.lockTimeout);
  }

  /**
   * Asks the store something. A store that fails, or says nothing for
   * `storeTimeout`, is an error to the caller.
   */
  ask<T>(
    operation: string,
    call: (records: Records) => Awaitable<T>,
    limit: number = this.#storeTimeout,
  ): Awaitable<T> {
    let answer: Awaitable<T>;
    try {
      answer = call(this.#records);
    } catch (cause) {
      throw storeError(operation, cause);
    }
    if (!isThenable(answer)) return answer;
    return inTime(answer as Promise<T>, operation, limit);
  }

  /** Reads a record; that of a session which ended while the store was asked is none. */
  read(sid: string, ctx: unknown): Awaitable<StoredRecord | undefined> {
    const { graves } = this;
    const moment = graves.now;
    const shown = (record: StoredRecord | undefined) =>
      isAlive(record) && graves.hides(sid, moment) ? undefined : record;
    const record = this.ask("read", (records) => records.read(sid, ctx));
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
  open(sid: string, ctx: unknown): Awaitable<Opened> {
    return this.#leases
      ? this.#leases.open(sid)
      : this.#turn(sid, (hold, waited) => this.#read(hold, waited, ctx));
  }

  /**
   * Waits for a turn, reads nothing, and writes. For stores of this process only.
   *
   * @returns what the write came to, or `undefined` when the session ended while it was on its way
   */
  exclusively<T>(
    sid: string,
    ctx: unknown,
    operation: string,
    write: (records: Records) => Awaitable<T>,
  ): Awaitable<T | undefined> {
    return this.#turn(sid, (hold) => {
      hold.committing = true;
      const written = (value: T): Awaitable<T | undefined> =>
        hold.state === "revoked"
          ? this.#undo(hold, ctx).then(() => undefined)
          : value;
      return always(
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
  ): Awaitable<Opened> {
    const opened = (record: StoredRecord | undefined): Opened => {
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

  #held(hold: Hold<string>, record: StoredRecord, ctx: unknown): Held {
    const sid = hold.key;
    return {
      sid,
      record,
      release: () => this.#mutex.release(hold),
      over: () => hold.state === "revoked" ? { why: hold.why } : undefined,
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
  ): Awaitable<Closed> {
    const { key: sid } = hold;
    hold.committing = true;
    const written = (version: Version | undefined): Awaitable<Closed> => {
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
    write: (records: Records) => Awaitable<T>,
    then: (value: T) => Awaitable<R>,
  ): Awaitable<R> {
    let landing: Awaitable<T> | undefined;
    const value = this.ask(operation, (records) => landing = write(records));
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
    this.graves.awaits(sid);
    let value: T;
    try {
      value = await answer;
    } catch (error) {
      // nobody waits for it any more, and it may be done after all
      this.#landedLate(sid, ctx, landing);
      throw error;
    }
    try {
      const ending = this.ending.get(sid);
      if (ending) await ending;
      return await then(value);
    } finally {
      this.graves.landed(sid);
    }
  }

  async #landedLate(
    sid: string,
    ctx: unknown,
    landing: Promise<unknown>,
  ): Promise<void> {
    try {
      await landing;
      if (this.graves.has(sid)) await this.#destroy(sid, ctx);
    } catch {
      // the error was the caller's
    } finally {
      this.graves.landed(sid);
    }
  }

  async #undo(hold: Hold<string>, ctx: unknown): Promise<Closed> {
    await this.#destroy(hold.key, ctx);
    return { status: "ended", why: hold.why };
  }

  async #destroy(sid: string, ctx: unknown): Promise<void> {
    await this.ask(
      "destroy",
      (records) => records.destroy(sid, undefined, ctx),
    );
    // for those who have read it meanwhile and were not answered yet
    if (this.graves.has(sid)) this.graves.bury(sid);
  }

  async #refused(hold: Hold<string>, ctx: unknown): Promise<Closed> {
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

  #lost(): Closed {
    this.timeouts++;
    return { status: "lost" };
  }
}
