/**
 * {@linkcode SessionStore}, the in-memory store that the rules of the contract
 * were written beside.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import { refuse } from "../base/arguments.ts";
import { type Entry, MemoryEntries } from "./memory/entries.ts";
import { Alarm } from "../base/expiry_heap.ts";
import {
  checkOptions,
  life,
  positive,
  type SessionStoreOptions,
} from "./memory/options.ts";
import type {
  AtomicStore,
  BeginResult,
  RemovalReason,
  SessionData,
  SessionRecord,
  StoredRecord,
  Version,
} from "../api/store.ts";
import { fromSession, isSession, toSession } from "./koa_session_object.ts";
import { MovedIds } from "./indexes.ts";

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

/** The least pause between two clean-ups by the timer, in ms. */
const SWEEP_PAUSE = 1_000;

/** For how long one turn of the event loop removes entries, in ms, so that a great clean-up stalls nobody. */
const SWEEP_MS = 1;

/** How many are removed between two looks at the clock: memory that was long unused makes each slow. */
const SWEEP_BATCH = 20;

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

  readonly #entries: MemoryEntries;
  readonly #moved = new MovedIds();
  readonly #events = new EventEmitter();
  readonly #alarm: Alarm | undefined;
  readonly #cleanupMs: number | undefined;
  #lastSweep = 0;

  /**
   * Makes a store; its clean-up timer runs only while there is something to clean up.
   *
   * @param options see {@linkcode SessionStoreOptions}; options of the bridge may be passed as they are
   * @throws {TypeError} when an option is of the wrong type
   * @throws {RangeError} when an option is out of range
   */
  constructor(options: SessionStoreOptions = {}) {
    const { maxAge, maxEntries, autoCleanup, autoCleanupMs } = checkOptions(
      options,
    );
    this.maxAge = maxAge;
    this.maxEntries = maxEntries;
    this.#cleanupMs = autoCleanupMs;
    this.#entries = new MemoryEntries(
      maxEntries,
      (entry, reason) => this.#removed(entry, reason),
    );
    this.#events.setMaxListeners(0);
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
    const entry = this.#entries.alive(sid);
    return entry && toSession(entry);
  }

  /** Whether there is a live session of this id. */
  has(sid: string): boolean {
    return this.#entries.alive(sid) !== undefined;
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
      refuse("set a session", "its id", "a string", sid);
    }
    if (session == null) {
      this.destroy(sid);
      return true;
    }
    if (!isSession(session)) {
      refuse("set a session", "it", "an object", session);
    }
    const old = this.#entries.alive(sid);
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
    const entry = this.#entries.alive(sid);
    const to = options?.movedTo;
    if (!entry) return false;
    if (to !== undefined) this.#moved.set(sid, to);
    this.#entries.remove(entry, to === undefined ? "destroyed" : "moved");
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
    const entry = this.#entries.alive(sid);
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
    const cleared = this.#entries.expire(Infinity);
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

  /** The ids of the sessions, those included that have expired and were not yet removed. */
  keys(): IterableIterator<string> {
    return this.#entries.ids();
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
    return this.#entries.find(sid)?.snapshot();
  }

  /** See {@linkcode AtomicStore.write}. */
  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
  ): Version | undefined {
    const current = this.#entries.alive(sid);
    if (expected === null ? current : current?.version !== expected) {
      return undefined;
    }
    return this.#put(sid, record).version;
  }

  /** See {@linkcode AtomicStore.begin}. */
  begin(sid: string, record: SessionRecord): BeginResult | undefined {
    const { clientId } = record;
    const before = clientId === undefined ? undefined : this.byClient(clientId);
    const version = this.write(sid, record, null);
    return version === undefined ? undefined : { version, before };
  }

  /** See {@linkcode AtomicStore.extend}. */
  extend(sid: string, expires: number): boolean {
    const entry = this.#entries.alive(sid);
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
    return this.#entries.owners.byClient(clientId);
  }

  /** See {@linkcode AtomicStore.byUser}. */
  byUser(user: string): readonly string[] {
    return this.#entries.owners.byUser(user);
  }

  #put(sid: string, record: SessionRecord): Entry {
    const before = this.#entries.size;
    const entry = this.#entries.put(sid, record);
    const isNew = this.#entries.size > before;
    this.#schedule();
    this.#events.emit("set", this, sid, isNew);
    if (isNew) this.#entries.trim();
    return entry;
  }

  #removed(entry: Entry, reason: RemovalReason): void {
    this.#events.emit("destroy", this, entry.sid);
    if (this.#events.listenerCount("removed") > 0) {
      this.#events.emit("removed", entry.sid, reason, entry.snapshot());
    }
  }

  #sweep(): void {
    const until = performance.now() + SWEEP_MS;
    let some = this.#entries.expire(SWEEP_BATCH);
    let cleared = some;
    while (some === SWEEP_BATCH && performance.now() < until) {
      some = this.#entries.expire(SWEEP_BATCH);
      cleared += some;
    }
    if (cleared > 0) this.#events.emit("cleanup", this, cleared);
    this.#lastSweep = Date.now();
    if (some === SWEEP_BATCH) this.#alarm?.set(this.#lastSweep + 1);
    else this.#schedule();
  }

  /** Next time something has expired, or after the interval that was asked for. */
  #schedule(): void {
    const { next } = this.#entries;
    if (this.#closed || next === undefined) return;
    const interval = this.#cleanupMs;
    this.#alarm?.set(
      interval === undefined
        ? Math.max(next, this.#lastSweep + SWEEP_PAUSE)
        : Date.now() + interval,
    );
  }
}
