/**
 * The adapter of basic stores: koa-session's objects in a store that has only
 * `get`, `set` and `destroy`, with the rest of a record under one `_bridge`
 * key. Writes are exclusive within this process; two processes on one such
 * store are not safe from each other. Client, user and former ids are indexed
 * in this process.
 *
 * @module
 */
import {
  type Awaitable,
  type BasicStore,
  type BeginOptions,
  type BeginResult,
  EXPIRED_GRACE,
  type FormerId,
  isAlive,
  type MoveCondition,
  type MoveResult,
  type ScannedSession,
  type SessionData,
  type SessionRecord,
  type StoreCall,
  type StoredRecord,
  type Version,
} from "../api/store.ts";
import { chain, onFailure } from "../base/async.ts";
import { BoundSessions } from "./basic/bound_sessions.ts";
import { Retries } from "./basic/retries.ts";
import { momentOf, VersionCheck } from "./basic/version_check.ts";
import { WriteClock } from "./basic/write_clock.ts";
import { FormerIds } from "./indexes.ts";
import {
  fromStoredObject,
  isSession,
  toStoredObject,
} from "./koa_session_object.ts";
import type { RecordStore } from "./record_store.ts";

/** What the adapter is constructed with. */
export interface BasicAdapterOptions {
  /** Whether the store exists only together with a Koa context. */
  readonly needsContext: boolean;
  readonly rolling: boolean;
  readonly maxAge: number | "session";
}

/** A basic store as a store of records. */
export class BasicStoreAdapter implements RecordStore {
  readonly scope = "process";
  readonly needsExclusiveWrites = true;
  readonly mayReadContext = true;
  readonly reportsExistence = false;
  readonly needsContext: boolean;
  readonly #pick: (ctx: unknown) => BasicStore;
  readonly #options: BasicAdapterOptions;
  readonly #writes = new WriteClock();
  readonly #former = new FormerIds();
  readonly #bound = new BoundSessions();
  readonly #undoing = new Retries();
  readonly #versions = new VersionCheck(
    this.#writes,
    (sid, ctx) => this.#get(sid, ctx),
  );

  /** @param pick returns the store for a Koa context */
  constructor(
    pick: (ctx: unknown) => BasicStore,
    options: BasicAdapterOptions,
  ) {
    this.#pick = pick;
    this.#options = options;
    this.needsContext = options.needsContext;
  }

  read(sid: string, ctx?: unknown): Awaitable<StoredRecord | undefined> {
    const moment = this.#writes.now;
    // a read that overlaps the write which begins the session may miss it
    const mayBeEarly = this.#bound.isReserved(sid);
    return chain(this.#get(sid, ctx), (found) => {
      // a read that began before a write or removal must not update the index
      const outdated = this.#writes.since(sid, moment);
      if (!isSession(found)) {
        if (!outdated && !mayBeEarly) this.#bound.remove(sid);
        return undefined;
      }
      const record = fromStoredObject(found, this.#options.maxAge);
      // a store may keep an expired record: it leaves the index here
      if (!outdated && record.expires <= Date.now()) this.#bound.remove(sid);
      else if (!outdated) this.#bound.set(sid, record);
      return { ...record, version: `${moment} ${JSON.stringify(found)}` };
    });
  }

  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
    ctx?: unknown,
    changed = true,
  ): Awaitable<Version | undefined> {
    const write = () =>
      chain(this.#put(sid, record, ctx, changed), (version) => {
        // a write that was overtaken by a removal must not update the index
        if (!this.#writes.since(sid, momentOf(version))) {
          this.#bound.set(sid, record);
        }
        return version;
      });
    // a fresh random id is free: koa-session does not check either
    if (expected === null) return write();
    const moment = this.#writes.now;
    return chain(
      this.#versions.compare(sid, expected, ctx),
      // it may have been destroyed during the comparison
      (found) =>
        found === "current" && !this.#writes.since(sid, moment)
          ? write()
          : undefined,
    );
  }

  begin(
    sid: string,
    record: SessionRecord,
    options: BeginOptions = {},
    ctx?: unknown,
  ): Awaitable<BeginResult> {
    const { clientId } = record;
    const before = clientId === undefined ? undefined : this.byClient(clientId);
    const refusal = this.#bound.refusal(record, options);
    if (refusal && before !== undefined && !this.#bound.isReserved(before)) {
      return chain(this.read(before, ctx), (found) => {
        if (isAlive(found) && found.clientId === clientId) {
          // by now another session may be the client's, or the record another
          const still = this.#bound.refusal(record, options);
          if (still && this.byClient(clientId!) === before) return still;
        } else if (this.byClient(clientId!) === before) {
          this.#bound.remove(before);
        }
        return this.begin(sid, record, options, ctx);
      });
    }
    if (refusal) return refusal;
    // at once: of begins that overlap, each is to see the one before
    const reservation = this.#bound.reserve(sid, record, before);
    return onFailure(
      () =>
        chain(this.#put(sid, record, ctx, true), (version): BeginResult => {
          reservation.confirm();
          return { status: "begun", version, before };
        }),
      reservation.cancel,
    );
  }

  extend(
    sid: string,
    expires: number,
    lastUsed?: number,
    ctx?: unknown,
  ): Awaitable<boolean> {
    return chain(this.read(sid, ctx), (record) => {
      if (!isAlive(record)) return false;
      const end = Math.max(
        Math.min(expires, record.absoluteEnd ?? Infinity),
        record.expires,
      );
      const used = lastUsed !== undefined &&
          lastUsed > (record.lastUsed ?? -Infinity)
        ? lastUsed
        : record.lastUsed;
      if (end === record.expires && used === record.lastUsed) return true;
      const next = { ...record, expires: end, lastUsed: used };
      return chain(
        this.write(sid, next, record.version, ctx, false),
        (version) => version !== undefined,
      );
    });
  }

  destroy(sid: string, note?: string, ctx?: unknown): Awaitable<boolean> {
    this.#writes.note(sid);
    // a store cannot report whether there was one: the note of a move stays
    if (note !== undefined && !this.#former.get(sid)) {
      this.#former.set(sid, undefined, note);
    }
    return chain(this.#pick(ctx).destroy(sid, this.#call(ctx)), () => {
      this.#writes.note(sid);
      this.#bound.remove(sid);
      return true;
    });
  }

  /**
   * Writes the session under the new id, then destroys the old one: for that
   * time it is under both. Where the latter fails, the new one is destroyed
   * again, in the background until that has succeeded, and the call rejects.
   */
  move(
    from: string,
    to: string,
    record: SessionRecord,
    condition: MoveCondition,
    note: string,
    ctx?: unknown,
  ): Awaitable<MoveResult> {
    // there are no leases, so no token is valid
    if (!("expected" in condition)) return { status: "lost" };
    const { expected } = condition;
    const moment = this.#writes.now;
    return chain(this.#versions.compare(from, expected, ctx), (found) => {
      if (found !== "current") return { status: found };
      return chain(this.#get(to, ctx), (other): Awaitable<MoveResult> => {
        if (to === from || isSession(other)) return { status: "taken" };
        const undo = () => this.#undo(to, record, ctx);
        return chain(
          onFailure(() => this.#put(to, record, ctx, true), undo),
          (version) => {
            if (!this.#writes.since(from, moment)) {
              return this.#leave(from, to, record, version, note, ctx);
            }
            // it was written, or destroyed, in between
            undo();
            return chain(
              this.#versions.compare(from, expected, ctx),
              (found) => ({
                status: found === "missing" ? found : "lost",
              }),
            );
          },
        );
      });
    });
  }

  former(sid: string): FormerId | undefined {
    return this.#former.get(sid);
  }

  byClient(clientId: string): string | undefined {
    return this.#bound.byClient(clientId);
  }

  byUser(user: string): readonly string[] {
    return this.#bound.byUser(user);
  }

  /** The sessions that this process has read or written. */
  async *scan(limit: number): AsyncGenerator<readonly ScannedSession[]> {
    for (const sids of this.#bound.batches(limit)) {
      const records = await Promise.all(sids.map((sid) => this.read(sid)));
      yield sids.flatMap((sid, i) => {
        const record = records[i];
        return isAlive(record) ? [{ sid, record }] : [];
      });
    }
  }

  /** Records that the store reported a removal. */
  removed(sid: string): void {
    this.#versions.reported();
    this.#writes.note(sid);
    this.#bound.remove(sid);
  }

  /** Stops what runs in the background. */
  stop(): void {
    this.#undoing.stop();
  }

  /** The second step of a move: destroys the former id. */
  #leave(
    from: string,
    to: string,
    record: SessionRecord,
    version: Version,
    note: string,
    ctx: unknown,
  ): Awaitable<MoveResult> {
    this.#writes.note(from);
    this.#former.set(from, to, note);
    return onFailure(
      () =>
        chain(this.#pick(ctx).destroy(from, this.#call(ctx)), () => {
          this.#writes.note(from);
          this.#bound.move(from, to, record);
          return { status: "done", version };
        }),
      () => {
        this.#former.delete(from);
        this.#undo(to, record, ctx);
      },
    );
  }

  /** Destroys a session that was written by a move which failed. */
  #undo(sid: string, record: SessionRecord, ctx: unknown): void {
    this.#undoing.run(() => {
      this.#writes.note(sid);
      return this.#pick(ctx).destroy(sid, this.#call(ctx));
    }, record.expires);
  }

  #get(sid: string, ctx: unknown): Awaitable<unknown> {
    return this.#pick(ctx).get(sid, this.#options.maxAge, this.#call(ctx));
  }

  #put(
    sid: string,
    record: SessionRecord,
    ctx: unknown,
    changed: boolean,
  ): Awaitable<Version> {
    const text = JSON.stringify(toStoredObject(record));
    this.#writes.note(sid);
    const moment = this.#writes.now;
    const ttl = record.cookie === "session"
      ? "session"
      : Math.max(record.expires - Date.now(), 0) + EXPIRED_GRACE;
    const call = { ...this.#call(ctx), changed };
    // a copy of its own: store and caller may both keep the object
    const object = JSON.parse(text) as SessionData;
    // what is read before this may still be the former session
    const settled = () => {
      const isOvertaken = this.#writes.since(sid, moment);
      this.#writes.note(sid);
      return isOvertaken ? moment : this.#writes.now;
    };
    return onFailure(
      () =>
        chain(
          this.#pick(ctx).set(sid, object, ttl, call),
          () => `${settled()} ${text}`,
        ),
      settled,
    );
  }

  #call(ctx: unknown): StoreCall {
    return ctx === undefined
      ? { rolling: this.#options.rolling }
      : { ctx, rolling: this.#options.rolling };
  }
}
