/**
 * The adapter of basic stores: koa-session's objects in a store that has only
 * `get`, `set` and `destroy`, with the rest of a record under one `_bridge`
 * key. Writes are exclusive within this process; two processes on one such
 * store are not safe from each other.
 *
 * @module
 */
import { MovedIds, OwnerIndex, type Owners } from "./indexes.ts";
import {
  type Awaitable,
  type BasicStore,
  type BeginResult,
  EXPIRED_GRACE,
  type SessionData,
  type SessionRecord,
  type StoreCall,
  type StoredRecord,
  type Version,
} from "../api/store.ts";
import { chain } from "../base/async.ts";
import {
  fromStoredObject,
  isSession,
  toStoredObject,
} from "./koa_session_object.ts";
import type { RecordStore } from "./record_store.ts";

/** Limit of ids with a time of their last write. */
const MAX_TRACKED = 10_000;

/**
 * The logical times of recent writes in this process. An id that was dropped
 * counts as written since.
 */
class WriteClock {
  readonly #last = new Map<string, number>();
  #floor = 0;
  #now = 0;

  get now(): number {
    return this.#now;
  }

  note(sid: string): void {
    this.#last.delete(sid);
    this.#last.set(sid, ++this.#now);
    if (this.#last.size <= MAX_TRACKED) return;
    const [oldest, at] = this.#last.entries().next().value!;
    this.#floor = at;
    this.#last.delete(oldest);
  }

  since(sid: string, moment: number): boolean {
    return (this.#last.get(sid) ?? this.#floor) > moment;
  }
}

/** What the adapter is constructed with. */
export interface BasicAdapterOptions {
  /** Whether the store reports removals, so that a write needs no read before it. */
  readonly reportsRemovals: boolean;
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
  readonly #moved = new MovedIds();
  readonly #owners = new OwnerIndex();
  /** Owners of each session, as a removed one cannot be read any more. */
  readonly #bound = new Map<string, Owners>();

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
    return chain(
      this.#pick(ctx).get(sid, this.#options.maxAge, this.#call(ctx)),
      (found) => {
        // a read that began before a write or removal must not update the index
        const outdated = this.#writes.since(sid, moment);
        if (!isSession(found)) {
          if (!outdated) this.#unindex(sid);
          return undefined;
        }
        const record = fromStoredObject(found, this.#options.maxAge);
        if (!outdated) this.#index(sid, record);
        return { ...record, version: `${moment} ${JSON.stringify(found)}` };
      },
    );
  }

  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
    ctx?: unknown,
    changed = true,
  ): Awaitable<Version | undefined> {
    const store = this.#pick(ctx);
    const put = () => {
      const object = toStoredObject(record);
      const text = JSON.stringify(object);
      this.#writes.note(sid);
      const moment = this.#writes.now;
      const ttl = record.cookie === "session"
        ? "session"
        : Math.max(record.expires - Date.now(), 0) + EXPIRED_GRACE;
      const call = { ...this.#call(ctx), changed };
      // a copy of its own: store and caller may both keep the object
      return chain(
        store.set(sid, JSON.parse(text) as SessionData, ttl, call),
        () => {
          this.#index(sid, record);
          return `${moment} ${text}`;
        },
      );
    };
    // a fresh random id is free: koa-session does not check either
    if (expected === null) return put();
    const version = String(expected);
    const gap = version.indexOf(" ");
    if (
      this.#options.reportsRemovals &&
      !this.#writes.since(sid, Number(version.slice(0, gap)))
    ) {
      return put();
    }
    return chain(
      store.get(sid, this.#options.maxAge, this.#call(ctx)),
      (found) =>
        isSession(found) && JSON.stringify(found) === version.slice(gap + 1)
          ? put()
          : undefined,
    );
  }

  begin(
    sid: string,
    record: SessionRecord,
    ctx?: unknown,
  ): Awaitable<BeginResult | undefined> {
    const { clientId } = record;
    const before = clientId === undefined ? undefined : this.byClient(clientId);
    return chain(
      this.write(sid, record, null, ctx),
      (version) => version === undefined ? undefined : { version, before },
    );
  }

  extend(sid: string, expires: number, ctx?: unknown): Awaitable<boolean> {
    return chain(this.read(sid, ctx), (record) => {
      if (!record || record.expires <= Date.now()) return false;
      const end = Math.min(expires, record.absoluteEnd ?? Infinity);
      if (end <= record.expires) return true;
      return chain(
        this.write(
          sid,
          { ...record, expires: end },
          record.version,
          ctx,
          false,
        ),
        (version) => version !== undefined,
      );
    });
  }

  destroy(
    sid: string,
    options?: { readonly movedTo?: string },
    ctx?: unknown,
  ): Awaitable<boolean> {
    this.#writes.note(sid);
    if (options?.movedTo !== undefined) this.#moved.set(sid, options.movedTo);
    return chain(this.#pick(ctx).destroy(sid, this.#call(ctx)), () => {
      this.#writes.note(sid);
      this.#unindex(sid);
      return true;
    });
  }

  movedTo(sid: string): string | undefined {
    return this.#moved.get(sid);
  }

  byClient(clientId: string): string | undefined {
    return this.#owners.byClient(clientId);
  }

  byUser(user: string): readonly string[] {
    return this.#owners.byUser(user);
  }

  /** Records that the store reported a removal. */
  removed(sid: string): void {
    this.#writes.note(sid);
    this.#unindex(sid);
  }

  #call(ctx: unknown): StoreCall {
    return ctx === undefined
      ? { rolling: this.#options.rolling }
      : { ctx, rolling: this.#options.rolling };
  }

  #index(sid: string, record: SessionRecord): void {
    const { clientId, user } = record;
    const old = this.#bound.get(sid);
    if (old?.clientId === clientId && old?.user === user) return;
    this.#unindex(sid);
    if (clientId === undefined && user === undefined) return;
    this.#bound.set(sid, { clientId, user });
    this.#owners.add(sid, record);
  }

  #unindex(sid: string): void {
    const old = this.#bound.get(sid);
    if (!old) return;
    this.#bound.delete(sid);
    this.#owners.remove(sid, old);
  }
}
