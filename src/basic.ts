/**
 * The basic tier seen as the atomic one: koa-session's objects in a store that
 * only knows `get`, `set` and `destroy`, with what the bridge needs in one
 * `_bridge` key beside them. Its callers take turns in this process; no other
 * process is safe from it.
 *
 * @module
 */
import {
  type AtomicStore,
  type Awaitable,
  type BasicStore,
  EXPIRED_GRACE,
  MovedIds,
  ONE_DAY,
  type SessionData,
  type SessionRecord,
  type StoreCall,
  type StoredRecord,
  type Version,
} from "./store.ts";

/** What stands under the `_bridge` key of a stored object. */
interface Attached {
  readonly clientId?: string;
  readonly settled?: boolean;
  readonly absoluteEnd?: number;
  readonly cookie?: number | "session";
  /** For a session without `_expire`. */
  readonly expires?: number;
  readonly user?: string;
}

/** How many ids are told apart by when they were last written here. */
const MAX_TRACKED = 10_000;

/**
 * Says whether an id was written in this process since a moment. Where the
 * answer is not known any more, it is yes.
 */
class Writes {
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
export class BasicRecords implements AtomicStore {
  readonly scope = "process";
  readonly takesTurns = true;
  readonly #pick: (ctx: unknown) => BasicStore;
  readonly #rolling: boolean;
  readonly #maxAge: number | "session";
  /** Whether the store tells of what others remove, so that no write needs a look first. */
  readonly #told: boolean;
  readonly #writes = new Writes();
  readonly #moved = new MovedIds();
  readonly #byClient = new Map<string, string>();
  readonly #byUser = new Map<string, Set<string>>();
  readonly #bound = new Map<
    string,
    Pick<SessionRecord, "clientId" | "user">
  >();

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
    return then(
      this.#pick(ctx).get(sid, this.#maxAge, this.#call(ctx)),
      (found) => {
        if (!isSession(found)) {
          this.#unindex(sid);
          return undefined;
        }
        const record = fromObject(found, this.#maxAge);
        this.#index(sid, record);
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
      const object = toObject(record);
      const text = JSON.stringify(object);
      this.#writes.note(sid);
      const moment = this.#writes.now;
      const ttl = record.cookie === "session"
        ? "session"
        : Math.max(record.expires - Date.now(), 0) + EXPIRED_GRACE;
      const call = { ...this.#call(ctx), changed };
      // its own copy: the store may keep the object, and the caller too
      return then(
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
    return then(
      store.get(sid, this.#maxAge, this.#call(ctx)),
      (found) =>
        isSession(found) && JSON.stringify(found) === version.slice(gap + 1)
          ? put()
          : undefined,
    );
  }

  extend(sid: string, expires: number, ctx?: unknown): Awaitable<boolean> {
    return then(this.read(sid, ctx), (record) => {
      if (!record || record.expires <= Date.now()) return false;
      const end = Math.min(expires, record.absoluteEnd ?? Infinity);
      if (end <= record.expires) return true;
      return then(
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
    return then(this.#pick(ctx).destroy(sid, this.#call(ctx)), () => {
      this.#unindex(sid);
      return true;
    });
  }

  movedTo(sid: string): string | undefined {
    return this.#moved.get(sid);
  }

  byClient(clientId: string): string | undefined {
    return this.#byClient.get(clientId);
  }

  byUser(user: string): readonly string[] {
    return [...this.#byUser.get(user) ?? []];
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
    if (clientId !== undefined) this.#byClient.set(clientId, sid);
    if (user === undefined) return;
    const sids = this.#byUser.get(user);
    if (sids) sids.add(sid);
    else this.#byUser.set(user, new Set([sid]));
  }

  #unindex(sid: string): void {
    const old = this.#bound.get(sid);
    if (!old) return;
    this.#bound.delete(sid);
    if (
      old.clientId !== undefined && this.#byClient.get(old.clientId) === sid
    ) {
      this.#byClient.delete(old.clientId);
    }
    const sids = old.user === undefined
      ? undefined
      : this.#byUser.get(old.user);
    if (sids?.delete(sid) && sids.size === 0) this.#byUser.delete(old.user!);
  }
}

/** Goes on with a value at once, with a promise when it is there. */
function then<T, R>(
  value: Awaitable<T>,
  next: (value: T) => Awaitable<R>,
): Awaitable<R> {
  return value instanceof Promise || isThenable(value)
    ? Promise.resolve(value).then(next)
    : next(value);
}

function isThenable(value: unknown): value is PromiseLike<never> {
  return typeof value === "object" && value !== null &&
    typeof (value as { then?: unknown }).then === "function";
}

/** A store that looks ids up in a plain object may answer with a method of it. */
function isSession(found: unknown): found is SessionData {
  return typeof found === "object" && found !== null && !Array.isArray(found);
}

function fromObject(
  object: SessionData,
  maxAge: number | "session",
): SessionRecord {
  const data: [string, unknown][] = [];
  for (const key of Object.keys(object)) {
    // names with an underscore are koa-session's own: it drops all others of that kind
    if (key[0] !== "_") data.push([key, object[key]]);
  }
  const attached =
    (isSession(object._bridge) ? object._bridge : {}) as Attached;
  const expire = typeof object._expire === "number"
    ? object._expire
    : undefined;
  const session = object._session === true || attached.cookie === "session";
  const life = typeof object._maxAge === "number"
    ? object._maxAge
    : session || maxAge === "session"
    ? ONE_DAY
    : maxAge;
  return {
    data: JSON.stringify(Object.fromEntries(data)),
    maxAge: life,
    expires: expire ?? attached.expires ?? Date.now() + life,
    absoluteEnd: attached.absoluteEnd,
    cookie: session ? "session" : attached.cookie ?? expire,
    clientId: attached.clientId,
    settled: attached.settled === true,
    user: attached.user,
  };
}

function toObject(record: SessionRecord): SessionData {
  const object = JSON.parse(record.data) as SessionData;
  const session = record.cookie === "session";
  if (session) object._session = true;
  else {
    object._expire = record.expires;
    object._maxAge = record.maxAge;
  }
  const attached: { -readonly [K in keyof Attached]: Attached[K] } = {};
  if (record.clientId !== undefined) attached.clientId = record.clientId;
  if (record.settled) attached.settled = true;
  if (record.absoluteEnd !== undefined) {
    attached.absoluteEnd = record.absoluteEnd;
  }
  if (session) attached.expires = record.expires;
  else if (record.cookie !== undefined) attached.cookie = record.cookie;
  if (record.user !== undefined) attached.user = record.user;
  object._bridge = attached;
  return object;
}
