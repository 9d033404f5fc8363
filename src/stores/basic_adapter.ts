/**
 * The basic tier seen as the atomic one: koa-session's objects in a store that
 * only knows `get`, `set` and `destroy`, with what the bridge needs in one
 * `_bridge` key beside them. Its callers take turns in this process; no other
 * process is safe from it.
 *
 * @module
 */
import { MovedIds, OwnerIndex, type Owners } from "./indexes.ts";
import {
  type AtomicStore,
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

/** How many ids are told apart by when they were last written here. */
const MAX_TRACKED = 10_000;

/**
 * Says whether an id was written in this process since a moment. Where the
 * answer is not known any more, it is yes.
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

/** See the module's text. */
export class BasicStoreAdapter implements AtomicStore {
  readonly scope = "process";
  readonly needsExclusiveWrites = true;
  readonly #pick: (ctx: unknown) => BasicStore;
  readonly #rolling: boolean;
  readonly #maxAge: number | "session";
  /** Whether the store tells of what others remove, so that no write needs a look first. */
  readonly #told: boolean;
  readonly #writes = new WriteClock();
  readonly #moved = new MovedIds();
  readonly #owners = new OwnerIndex();
  /** The owners of each session, for the day it is gone and nobody can tell any more. */
  readonly #bound = new Map<string, Owners>();

  /**
   * @param pick the store to use with this Koa context
   * @param options `told`: the store has `on`
   */
  constructor(
    pick: (ctx: unknown) => BasicStore,
    options: {
      readonly told: boolean;
      readonly rolling: boolean;
      readonly maxAge: number | "session";
    },
  ) {
    this.#pick = pick;
    this.#told = options.told;
    this.#rolling = options.rolling;
    this.#maxAge = options.maxAge;
  }

  read(sid: string, ctx?: unknown): Awaitable<StoredRecord | undefined> {
    const moment = this.#writes.now;
    return chain(
      this.#pick(ctx).get(sid, this.#maxAge, this.#call(ctx)),
      (found) => {
        // what was read before it was written, or removed, says nothing of whose it is
        const outdated = this.#writes.since(sid, moment);
        if (!isSession(found)) {
          if (!outdated) this.#unindex(sid);
          return undefined;
        }
        const record = fromStoredObject(found, this.#maxAge);
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
      // its own copy: the store may keep the object, and the caller too
      return chain(
        store.set(sid, JSON.parse(text) as SessionData, ttl, call),
        () => {
          this.#index(sid, record);
          return `${moment} ${text}`;
        },
      );
    };
    // an id that was drawn at random a moment ago is nobody's: koa-session does not look either
    if (expected === null) return put();
    const version = String(expected);
    const gap = version.indexOf(" ");
    if (this.#told && !this.#writes.since(sid, Number(version.slice(0, gap)))) {
      return put();
    }
    return chain(
      store.get(sid, this.#maxAge, this.#call(ctx)),
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

  /** Takes note that the store said it removed a session. */
  removed(sid: string): void {
    this.#writes.note(sid);
    this.#unindex(sid);
  }

  #call(ctx: unknown): StoreCall {
    return ctx === undefined
      ? { rolling: this.#rolling }
      : { ctx, rolling: this.#rolling };
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
