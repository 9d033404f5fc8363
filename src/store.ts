/**
 * The store contract, in two tiers, and {@linkcode SessionStore}, the in-memory
 * store that the rules were written beside.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import { Alarm, ExpiryHeap, type Scheduled } from "./expiry.ts";

/** A value, or a promise of it. */
export type Awaitable<T> = T | Promise<T>;

/** Session data, or koa-session's own object: what JSON can hold. */
export type SessionData = Record<string, unknown>;

/** What koa-session hands to its store beside the session. */
export interface StoreCall {
  /** The Koa context of the request, or of the socket's handshake; absent where there is none. */
  readonly ctx?: unknown;
  /** koa-session's `rolling` option. */
  readonly rolling?: boolean;
  /** Whether koa-session saw the data change. */
  readonly changed?: boolean;
}

/**
 * The basic tier: any store that koa-session accepts. What is kept in it is
 * koa-session's own object, plus one `_bridge` key. Two processes on a basic
 * store are not safe from each other.
 */
export interface BasicStore {
  /** The stored object, or nothing. */
  get(
    sid: string,
    maxAge?: number | "session",
    call?: StoreCall,
  ): Awaitable<SessionData | null | undefined>;
  /** Stores the object for `maxAge` ms. */
  set(
    sid: string,
    session: SessionData,
    maxAge?: number | "session",
    call?: StoreCall,
  ): Awaitable<unknown>;
  /** Removes the object. */
  destroy(sid: string, call?: StoreCall): Awaitable<unknown>;
  /** Tells of removals: `"destroy"` → `(store, sid)`. */
  on?(
    event: string,
    listener: (store: unknown, sid: string) => void,
  ): unknown;
  /** Undoes `on`, where the store can. */
  off?(
    event: string,
    listener: (store: unknown, sid: string) => void,
  ): unknown;
  /** A hint that the session is in use. */
  touch?(
    sid: string,
    session: SessionData,
    maxAge?: number | "session",
    call?: StoreCall,
  ): Awaitable<unknown>;
  /** Lets go of files, connections and timers. */
  close?(): Awaitable<unknown>;
}

/** Changes with every write of a session and never comes back, not even after a removal. */
export type Version = string | number;

/** One session as an atomic store keeps it: one value under one key. */
export interface SessionRecord {
  /** JSON text of an object: the session's data without koa-session's bookkeeping. */
  readonly data: string;
  /** How long the session lives without activity, in ms. */
  readonly maxAge: number;
  /** When it ends unless something happens, ms since the epoch. */
  readonly expires: number;
  /** When it ends whatever happens, ms since the epoch; `undefined` where there is no such limit. */
  readonly absoluteEnd: number | undefined;
  /**
   * The end of the last session cookie, ms since the epoch; `"session"` for a
   * cookie that ends with the browser, `undefined` where none is known of.
   */
  readonly cookie: number | "session" | undefined;
  /** The client that the session is bound to. */
  readonly clientId: string | undefined;
  /** Whether a client brought the session cookie back, which settles the binding. */
  readonly settled: boolean;
  /** Whom the session belongs to, for "log out everywhere". */
  readonly user: string | undefined;
}

/** A record with the version that the next conditional write must name. */
export interface StoredRecord extends SessionRecord {
  /** Of the record as it was read. */
  readonly version: Version;
}

/**
 * The atomic tier: every operation happens whole or not at all, as far as
 * {@linkcode AtomicStore.scope} reaches. None of its members is optional.
 *
 * A store may show a record up to {@linkcode EXPIRED_GRACE} ms past its
 * `expires`, so that a late reader learns that it expired; nobody treats such
 * a record as alive, and no write to it succeeds.
 */
export interface AtomicStore {
  /** `"process"`: only callers in this process are safe from each other. `"shared"`: all are. */
  readonly scope: "process" | "shared";
  /** The record, or `undefined`. */
  read(sid: string): Awaitable<StoredRecord | undefined>;
  /**
   * Writes the record if the stored version is `expected`, or, with `null`, if
   * there is none.
   *
   * @returns the new version, or `undefined` when the write was refused: the
   * version has changed, the session is gone or has expired, or (on a shared
   * store) somebody holds a lease on it
   */
  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
  ): Awaitable<Version | undefined>;
  /**
   * Prolongs a life, and nothing else: neither data nor version change, an
   * earlier end is ignored and `absoluteEnd` is not passed.
   *
   * @param expires the new end, ms since the epoch
   * @returns whether the session is alive
   */
  extend(sid: string, expires: number): Awaitable<boolean>;
  /**
   * Ends a session at once, whoever holds it.
   *
   * @param options `movedTo`: the id that the session goes on under, kept for
   * {@linkcode MOVED_FOR} ms for those who were under way to the old one
   * @returns whether there was one alive
   */
  destroy(
    sid: string,
    options?: { readonly movedTo?: string },
  ): Awaitable<boolean>;
  /** The id that a session which is gone from here goes on under. */
  movedTo(sid: string): Awaitable<string | undefined>;
  /** A hint: the session that was last bound to this client. Check the record. */
  byClient(clientId: string): Awaitable<string | undefined>;
  /** A hint: sessions that belong to this user. Check each record. */
  byUser(user: string): Awaitable<readonly string[]>;
}

/** What came of asking for a lease. */
export type Acquired =
  /** The session is yours until the hold is over, as it was when you got it. */
  | { readonly status: "granted"; readonly record: StoredRecord }
  /** There is no such session, or (`waited`) it ended, or moved, while you waited. */
  | { readonly status: "missing"; readonly waited: boolean }
  /** Others held it for as long as you were ready to wait. */
  | { readonly status: "timeout" };

/** What came of the end of a hold. */
export type Committed =
  /** Written, if there was something to write; the lease is released. */
  | { readonly status: "done"; readonly version: Version }
  /** The session ended during the hold: nothing was written. */
  | { readonly status: "missing" }
  /** The hold was overdue and the session was given to another: nothing was written. */
  | { readonly status: "lost" };

/** What a store for many processes offers beside: leases with a fencing token. */
export interface SharedStore extends AtomicStore {
  /** Always `"shared"`. */
  readonly scope: "shared";
  /**
   * Takes the lease on a session and reads it, in one round trip; waits its
   * turn, first come first served, while others hold it.
   *
   * A hold of more than `holdMs` may be given to the next who waits. A lease
   * that is granted after its caller gave up is released at once.
   *
   * @param token the fencing token: unique to this hold
   * @param holdMs how long the lease is held at most
   * @param waitMs how long to wait at most
   */
  acquire(
    sid: string,
    token: string,
    holdMs: number,
    waitMs: number,
  ): Promise<Acquired>;
  /**
   * Writes the record, if one is given, and releases the lease, in one round
   * trip. An overdue hold counts while the session was given to nobody else.
   */
  commit(
    sid: string,
    token: string,
    record: SessionRecord | undefined,
  ): Promise<Committed>;
  /** A hint: the live session whose id has this hash, see `hashId`. */
  byHash(hash: string): Promise<string | undefined>;
  /** The versions of many sessions in one go; `undefined` for each that is gone. */
  versions(
    sids: readonly string[],
  ): Promise<readonly (Version | undefined)[]>;
  /** Lets go of what the store itself opened. */
  close(): Awaitable<void>;
}

/** How long after its end a record may still be shown, in ms; koa-session's own margin. */
export const EXPIRED_GRACE = 10_000;

/** How long a regenerated session can be found under its old id by those under way, in ms. */
export const MOVED_FOR = 600_000;

/** How long a session with a browser-session cookie lives without activity, in ms: koa-session's. */
export const ONE_DAY = 86_400_000;

const THIRTY_DAYS = 30 * ONE_DAY;

/** Why {@linkcode SessionStore} removed an entry. */
export type RemovalReason = "destroyed" | "expired" | "evicted" | "moved";

/** The options of {@linkcode SessionStore}. */
export interface SessionStoreOptions {
  /**
   * How long a session lives when `set` does not say, in ms.
   *
   * @default {2_592_000_000} 30 days
   */
  readonly maxAge?: number | "session" | null | undefined;
  /**
   * Whether a timer removes what has expired. It never keeps the process alive.
   *
   * @default {true}
   */
  readonly autoCleanup?: boolean | null | undefined;
  /**
   * How often at most, in ms.
   *
   * @default {1000} when something has expired: sooner than a tenth of `maxAge`
   */
  readonly autoCleanupMs?: number | null | undefined;
  /**
   * How many sessions to hold at most; beyond, the one that was used least
   * recently goes.
   *
   * @default {Infinity}
   */
  readonly maxEntries?: number | null | undefined;
}

/** The listeners of {@linkcode SessionStore}. */
export interface SessionStoreEvents {
  /** A session was written; `isNew` when there was none before. */
  set: [store: SessionStore, sid: string, isNew: boolean];
  /** A session was removed, for whatever reason. */
  destroy: [store: SessionStore, sid: string];
  /** A clean-up removed this many. */
  cleanup: [store: SessionStore, cleared: number];
  /** A session was removed, and why. */
  removed: [sid: string, reason: RemovalReason, record: SessionRecord];
}

class Entry implements StoredRecord, Scheduled {
  slot = -1;
  readonly data: string;
  readonly version: number;
  readonly maxAge: number;
  expires: number;
  readonly absoluteEnd: number | undefined;
  readonly cookie: number | "session" | undefined;
  readonly clientId: string | undefined;
  readonly settled: boolean;
  readonly user: string | undefined;

  constructor(
    readonly sid: string,
    record: SessionRecord,
    version: number,
  ) {
    this.data = record.data;
    this.version = version;
    this.maxAge = record.maxAge;
    this.expires = record.expires;
    this.absoluteEnd = record.absoluteEnd;
    this.cookie = record.cookie;
    this.clientId = record.clientId;
    this.settled = record.settled;
    this.user = record.user;
  }
}

/** How many sessions that have just expired, or moved, are remembered at most. */
const MAX_REMEMBERED = 1_000;

/** The least pause between two clean-ups by the timer, in ms. */
const SWEEP_PAUSE = 1_000;

/** How many entries one turn of the event loop removes, so that a great clean-up stalls nobody. */
const CLEANUP_BATCH = 1_000;

/**
 * Sessions in this process's memory, with a time to live. What it holds is
 * JSON text: callers get copies and cannot corrupt it. It is the default store
 * of the bridge, a store for koa-session by itself, and the reference of the
 * atomic tier.
 *
 * @example
 * ```ts
 * import { SessionStore } from "@koa-io/session";
 * import { assertEquals } from "@std/assert";
 *
 * using store = new SessionStore({ maxAge: 60_000 });
 * store.on("destroy", (_store, sid) => assertEquals(sid, "a"));
 * store.set("a", { user: "ada" });
 * assertEquals(store.get("a"), { user: "ada" });
 * assertEquals(store.destroy("a"), true);
 * assertEquals(store.size, 0);
 * ```
 */
export class SessionStore implements AtomicStore {
  /** `"process"`: memory is not shared. */
  readonly scope = "process";
  /** How long a session lives when `set` does not say, in ms. */
  readonly maxAge: number;
  /** How many sessions it holds at most. */
  readonly maxEntries: number;

  readonly #entries = new Map<string, Entry>();
  readonly #byClient = new Map<string, string>();
  readonly #byUser = new Map<string, Set<string>>();
  readonly #ends = new ExpiryHeap<Entry>();
  /** Expired a moment ago: a reader is to learn that it expired, not that it never was. */
  readonly #expired = new Map<string, Entry>();
  readonly #moved = new MovedIds();
  readonly #events = new EventEmitter();
  readonly #alarm: Alarm | undefined;
  readonly #cleanupMs: number | undefined;
  #lastSweep = 0;
  #version = 0;

  /**
   * Makes a store; its clean-up timer runs only while there is something to clean up.
   *
   * @param options see {@linkcode SessionStoreOptions}; options of the bridge may be passed as they are
   * @throws {TypeError} when an option is of the wrong type
   * @throws {RangeError} when an option is out of range
   */
  constructor(options: SessionStoreOptions = {}) {
    if (typeof options !== "object" || options === null) {
      throw new TypeError(
        `Cannot make a SessionStore as options must be an object: received ${
          show(options)
        }`,
      );
    }
    this.maxAge = life("maxAge", options.maxAge) ?? THIRTY_DAYS;
    this.maxEntries = positive("maxEntries", options.maxEntries, true) ??
      Infinity;
    this.#events.setMaxListeners(0);
    const autoCleanup = options.autoCleanup ?? true;
    if (typeof autoCleanup !== "boolean") {
      throw new TypeError(
        `Cannot make a SessionStore as autoCleanup must be a boolean: received ${
          show(autoCleanup)
        }`,
      );
    }
    this.#cleanupMs = positive("autoCleanupMs", options.autoCleanupMs);
    if (autoCleanup) this.#alarm = new Alarm(() => this.#sweep());
  }

  /** How many sessions there are, those included that have expired and were not yet removed. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * A copy of a session, with koa-session's bookkeeping if koa-session stored it.
   *
   * @param sid the session's id
   * @returns the copy, or `undefined`; a session that has expired is removed
   */
  get(sid: string): SessionData | undefined {
    const entry = this.#alive(sid);
    return entry && toSession(entry);
  }

  /** Whether there is a live session of this id. */
  has(sid: string): boolean {
    return this.#alive(sid) !== undefined;
  }

  /**
   * Stores a session, whoever wrote it last; `null` destroys it.
   *
   * @param sid the session's id
   * @param session an object that JSON can hold
   * @param maxAge how long it lives, in ms; left out, as long as when it was last set
   * @returns `true`
   * @throws {TypeError} when the id is no string, or JSON cannot hold the session
   * @throws {RangeError} when `maxAge` is not above 0
   */
  set(
    sid: string,
    session: SessionData | null | undefined,
    maxAge?: number | "session" | null,
  ): true {
    if (typeof sid !== "string") {
      throw new TypeError(
        `Cannot set a session as its id must be a string: received ${
          show(sid)
        }`,
      );
    }
    if (session == null) {
      this.destroy(sid);
      return true;
    }
    if (typeof session !== "object" || Array.isArray(session)) {
      throw new TypeError(
        `Cannot set a session as it must be an object: received ${
          show(session)
        }`,
      );
    }
    const old = this.#alive(sid);
    const ttl = life("maxAge", maxAge) ?? old?.maxAge ?? this.maxAge;
    this.#put(sid, fromSession(session, ttl, old));
    return true;
  }

  /**
   * Ends a session, with a `destroy` event.
   *
   * @param sid the session's id
   * @param options `movedTo`: the id that it goes on under
   * @returns whether there was a live one
   */
  destroy(sid: string, options?: { readonly movedTo?: string }): boolean {
    const entry = this.#alive(sid);
    const to = options?.movedTo;
    if (!entry) return false;
    if (to !== undefined) {
      this.#moved.set(sid, to);
    }
    this.#remove(entry, to === undefined ? "destroyed" : "moved");
    return true;
  }

  /** The same as {@linkcode SessionStore.destroy}. */
  delete(sid: string): boolean {
    return this.destroy(sid);
  }

  /**
   * Prolongs the life of a session from now on.
   *
   * @param sid the session's id
   * @param maxAge in ms; left out, as long as when it was last set
   * @returns whether there is a live session
   * @throws {RangeError} when `maxAge` is not above 0
   */
  touch(sid: string, maxAge?: number | null): boolean {
    const entry = this.#alive(sid);
    if (!entry) return false;
    return this.extend(
      sid,
      Date.now() + (positive("maxAge", maxAge) ?? entry.maxAge),
    );
  }

  /**
   * Removes what has expired, at a cost that follows what it removes.
   *
   * @returns how many sessions it removed
   */
  cleanup(): number {
    const cleared = this.#clear(Infinity);
    if (cleared > 0) this.#events.emit("cleanup", this, cleared);
    return cleared;
  }

  /**
   * Listens to what happens to the store.
   *
   * @param event `"set"` → `(store, sid, isNew)`, `"destroy"` → `(store, sid)`, `"cleanup"` → `(store, cleared)`
   * @param listener is called with these
   * @returns this store
   */
  on<K extends keyof SessionStoreEvents>(
    event: K,
    listener: (...args: SessionStoreEvents[K]) => void,
  ): this {
    this.#events.on(event, listener as (...args: unknown[]) => void);
    return this;
  }

  /**
   * Undoes {@linkcode SessionStore.on}.
   *
   * @param event the event that was listened to
   * @param listener the listener given then
   * @returns this store
   */
  off<K extends keyof SessionStoreEvents>(
    event: K,
    listener: (...args: SessionStoreEvents[K]) => void,
  ): this {
    this.#events.off(event, listener as (...args: unknown[]) => void);
    return this;
  }

  /** Stops the clean-up timer. What is stored stays readable. */
  close(): void {
    this.#alarm?.stop();
    this.#closed = true;
  }
  #closed = false;

  /** The same as {@linkcode SessionStore.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** `[sid, session]` of every live session. */
  *[Symbol.iterator](): IterableIterator<[sid: string, session: SessionData]> {
    const now = Date.now();
    for (const entry of this.#entries.values()) {
      if (entry.expires > now) yield [entry.sid, toSession(entry)];
    }
  }

  /** `[sid, session]` of every live session. */
  entries(): IterableIterator<[sid: string, session: SessionData]> {
    return this[Symbol.iterator]();
  }

  /** See {@linkcode AtomicStore.read}. */
  read(sid: string): StoredRecord | undefined {
    const entry = this.#entries.get(sid);
    if (entry === undefined) {
      const expired = this.#expired.get(sid);
      return expired && snapshot(expired);
    }
    if (entry.expires <= Date.now()) this.#remove(entry, "expired");
    else if (this.maxEntries !== Infinity) this.#used(entry);
    return snapshot(entry);
  }

  /** See {@linkcode AtomicStore.write}. */
  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
  ): Version | undefined {
    const current = this.#alive(sid);
    if (expected === null ? current : current?.version !== expected) {
      return undefined;
    }
    return this.#put(sid, record).version;
  }

  /** See {@linkcode AtomicStore.extend}. */
  extend(sid: string, expires: number): boolean {
    const entry = this.#alive(sid);
    if (!entry) return false;
    const end = Math.min(expires, entry.absoluteEnd ?? Infinity);
    if (end > entry.expires) entry.expires = end;
    return true;
  }

  /** See {@linkcode AtomicStore.movedTo}. */
  movedTo(sid: string): string | undefined {
    return this.#moved.get(sid);
  }

  /** See {@linkcode AtomicStore.byClient}. */
  byClient(clientId: string): string | undefined {
    return this.#byClient.get(clientId);
  }

  /** See {@linkcode AtomicStore.byUser}. */
  byUser(user: string): readonly string[] {
    return [...this.#byUser.get(user) ?? []];
  }

  #alive(sid: string): Entry | undefined {
    const entry = this.#entries.get(sid);
    if (entry === undefined) return undefined;
    if (entry.expires <= Date.now()) {
      this.#remove(entry, "expired");
      return undefined;
    }
    if (this.maxEntries !== Infinity) this.#used(entry);
    return entry;
  }

  /** A Map keeps the order of insertion: the least recently used stands first. */
  #used(entry: Entry): void {
    this.#entries.delete(entry.sid);
    this.#entries.set(entry.sid, entry);
  }

  #put(sid: string, record: SessionRecord): Entry {
    const old = this.#entries.get(sid);
    const entry = new Entry(sid, record, ++this.#version);
    if (old) {
      this.#ends.replace(old, entry);
      if (old.clientId !== entry.clientId) this.#unindexClient(old);
      if (old.user !== entry.user) this.#unindexUser(old);
    } else {
      this.#expired.delete(sid);
      this.#ends.schedule(entry);
    }
    this.#entries.set(sid, entry);
    if (entry.clientId !== undefined) this.#byClient.set(entry.clientId, sid);
    if (entry.user !== undefined) this.#indexUser(entry.user, sid);
    this.#schedule();
    this.#events.emit("set", this, sid, !old);
    if (!old && this.#entries.size > this.maxEntries) this.#evict();
    return entry;
  }

  #evict(): void {
    const expired = this.#ends.take(Date.now());
    if (expired) return this.#remove(expired, "expired");
    const { value: oldest } = this.#entries.values().next();
    if (oldest) this.#remove(oldest, "evicted");
  }

  #indexUser(user: string, sid: string): void {
    const sids = this.#byUser.get(user);
    if (sids) sids.add(sid);
    else this.#byUser.set(user, new Set([sid]));
  }

  #unindexClient(entry: Entry): void {
    const { clientId, sid } = entry;
    if (clientId !== undefined && this.#byClient.get(clientId) === sid) {
      this.#byClient.delete(clientId);
    }
  }

  #unindexUser(entry: Entry): void {
    const { user, sid } = entry;
    const sids = user === undefined ? undefined : this.#byUser.get(user);
    if (sids?.delete(sid) && sids.size === 0) this.#byUser.delete(user!);
  }

  #remove(entry: Entry, reason: RemovalReason): void {
    this.#entries.delete(entry.sid);
    this.#ends.remove(entry);
    this.#unindexClient(entry);
    this.#unindexUser(entry);
    if (reason === "expired") {
      this.#expired.set(entry.sid, entry);
      const now = Date.now();
      forget(this.#expired, (old) => old.expires + EXPIRED_GRACE <= now);
    }
    this.#events.emit("destroy", this, entry.sid);
    if (this.#events.listenerCount("removed") > 0) {
      this.#events.emit("removed", entry.sid, reason, snapshot(entry));
    }
  }

  #clear(limit: number): number {
    const now = Date.now();
    let cleared = 0;
    while (cleared < limit) {
      const entry = this.#ends.take(now);
      if (!entry) break;
      this.#remove(entry, "expired");
      cleared++;
    }
    return cleared;
  }

  #sweep(): void {
    const cleared = this.#clear(CLEANUP_BATCH);
    if (cleared > 0) this.#events.emit("cleanup", this, cleared);
    this.#lastSweep = Date.now();
    if (cleared === CLEANUP_BATCH) this.#alarm?.set(this.#lastSweep + 1);
    else this.#schedule();
  }

  /** Next time something has expired, or after the interval that was asked for. */
  #schedule(): void {
    const { next } = this.#ends;
    if (this.#closed || next === undefined) return;
    const interval = this.#cleanupMs;
    this.#alarm?.set(
      interval === undefined
        ? Math.max(next, this.#lastSweep + SWEEP_PAUSE)
        : Date.now() + interval,
    );
  }
}

/** Where sessions went that were regenerated a moment ago, for those under way to their old ids. */
export class MovedIds {
  readonly #ids = new Map<string, { readonly to: string; until: number }>();

  /** Remembers that `from` goes on as `to`. */
  set(from: string, to: string): void {
    const now = Date.now();
    this.#ids.set(from, { to, until: now + MOVED_FOR });
    forget(this.#ids, (moved) => moved.until <= now);
  }

  /** Where `from` went, if that was not too long ago. */
  get(from: string): string | undefined {
    const moved = this.#ids.get(from);
    return moved && moved.until > Date.now() ? moved.to : undefined;
  }
}

/** Drops what is stale from the old end of a map, and the oldest beyond a bound. */
function forget<T>(map: Map<string, T>, stale: (value: T) => boolean): void {
  for (const [key, value] of map) {
    if (map.size <= MAX_REMEMBERED && !stale(value)) return;
    map.delete(key);
  }
}

/** What a reader gets: its own copy, as the session was when it was read. */
function snapshot(entry: Entry): StoredRecord {
  return {
    data: entry.data,
    version: entry.version,
    maxAge: entry.maxAge,
    expires: entry.expires,
    absoluteEnd: entry.absoluteEnd,
    cookie: entry.cookie,
    clientId: entry.clientId,
    settled: entry.settled,
    user: entry.user,
  };
}

/** koa-session's object from a record. */
function toSession(record: SessionRecord): SessionData {
  const session = JSON.parse(record.data) as SessionData;
  if (record.cookie === "session") session._session = true;
  else if (record.cookie !== undefined) {
    session._expire = record.cookie;
    session._maxAge = record.maxAge;
  }
  return session;
}

/** A record from koa-session's object; what the session was bound to stays. */
function fromSession(
  session: SessionData,
  ttl: number,
  old: SessionRecord | undefined,
): SessionRecord {
  const { _expire, _maxAge, _session, ...data } = session;
  const absoluteEnd = old?.absoluteEnd;
  return {
    data: JSON.stringify(data),
    maxAge: typeof _maxAge === "number" ? _maxAge : ttl,
    expires: Math.min(Date.now() + ttl, absoluteEnd ?? Infinity),
    absoluteEnd,
    cookie: _session === true
      ? "session"
      : typeof _expire === "number"
      ? _expire
      : undefined,
    clientId: old?.clientId,
    settled: old?.settled ?? false,
    user: old?.user,
  };
}

function life(name: string, value: unknown): number | undefined {
  return value === "session" ? ONE_DAY : positive(name, value);
}

function positive(
  name: string,
  value: unknown,
  integer = false,
): number | undefined {
  if (value === undefined || value === null) return undefined;
  const kind = integer ? "an integer" : "a number";
  if (typeof value !== "number") {
    throw new TypeError(
      `Cannot use ${name} as it must be ${kind} above 0: received ${
        show(value)
      }`,
    );
  }
  if (
    !(value > 0) || (integer && !Number.isInteger(value) && value !== Infinity)
  ) {
    throw new RangeError(
      `Cannot use ${name} as it must be ${kind} above 0: received ${value}`,
    );
  }
  return value;
}

function show(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "string" ? JSON.stringify(value) : typeof value;
}
