/**
 * {@linkcode SessionStore}, the in-memory store and the reference of the store
 * contract.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import { refuse } from "../base/arguments.ts";
import { declareReports } from "../base/store_reports.ts";
import { type Entry, MemoryEntries } from "./memory/entries.ts";
import { Cleanup } from "./memory/cleanup.ts";
import {
  checkOptions,
  life,
  positive,
  type SessionStoreOptions,
} from "./memory/options.ts";
import type {
  AtomicStore,
  BeginOptions,
  BeginResult,
  FormerId,
  MoveCondition,
  MoveResult,
  RemovalReason,
  ScannedSession,
  SessionData,
  SessionRecord,
  StoreCall,
  StoredRecord,
  Version,
} from "../api/store.ts";
import { fromSession, isSession, toSession } from "./koa_session_object.ts";
import { refusalOf } from "../base/store_conditions.ts";
import { FormerIds } from "./indexes.ts";

/** The listeners of {@linkcode SessionStore}. */
export interface SessionStoreEvents {
  /** A session was written; `isNew` when there was none before. */
  set: [store: SessionStore, sid: string, isNew: boolean];
  /** A session was removed, for any reason. */
  destroy: [store: SessionStore, sid: string];
  /** A clean-up removed this many sessions. */
  cleanup: [store: SessionStore, cleared: number];
  /** A session was removed, and why. */
  removed: [sid: string, reason: RemovalReason, record: SessionRecord];
}

/** The action in messages that refuse an argument. */
const SETTING = "set a session";

/**
 * Sessions in this process's memory, with a time to live. They are held as
 * JSON text: callers get copies and cannot corrupt them. It is the default
 * store of the bridge, can be used by koa-session without the bridge, and is
 * the reference of the atomic tier.
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
  /** How long a session lives without a `maxAge` of its own, in ms. */
  readonly maxAge: number;
  /** How many sessions it holds at most. */
  readonly maxEntries: number;

  readonly #entries: MemoryEntries;
  readonly #former = new FormerIds();
  readonly #events = new EventEmitter();
  readonly #cleanup: Cleanup | undefined;

  /**
   * Creates a store; its clean-up timer runs only while it holds sessions.
   *
   * @param options see {@linkcode SessionStoreOptions}; options of the bridge may be passed as they are
   * @throws {TypeError} when an option is of the wrong type
   * @throws {RangeError} when an option is out of range
   */
  constructor(options: SessionStoreOptions = {}) {
    const checked = checkOptions(options);
    this.maxAge = checked.maxAge;
    this.maxEntries = checked.maxEntries;
    this.#entries = new MemoryEntries(
      this.maxEntries,
      (entry, reason) => this.#removed(entry, reason),
    );
    this.#events.setMaxListeners(0);
    declareReports(this, { allRemovals: true, errors: false });
    if (checked.autoCleanup) {
      this.#cleanup = new Cleanup(
        this.#entries,
        checked.autoCleanupMs,
        (cleared) => this.#events.emit("cleanup", this, cleared),
      );
    }
  }

  /** How many sessions there are, including expired ones that were not yet removed. */
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
   * Stores a session unconditionally; `null` destroys it.
   *
   * @param sid the session's id
   * @param session an object that JSON can represent
   * @param maxAge how long it lives, in ms; left out, as long as when it was last set
   * @returns `true`
   * @throws {TypeError} when the id is no string, or JSON cannot represent the session
   * @throws {RangeError} when `maxAge` is not above 0
   */
  set(
    sid: string,
    session: SessionData | null | undefined,
    maxAge?: number | "session" | null,
  ): true {
    if (typeof sid !== "string") refuse(SETTING, "its id", "a string", sid);
    if (session == null) {
      this.destroy(sid);
      return true;
    }
    if (!isSession(session)) refuse(SETTING, "it", "an object", session);
    const old = this.#entries.alive(sid);
    const ttl = life("maxAge", maxAge) ?? old?.maxAge ?? this.maxAge;
    this.#put(sid, fromSession(session, ttl, old));
    return true;
  }

  /**
   * Ends a session, with a `destroy` event.
   *
   * @param sid the session's id
   * @param note see {@linkcode AtomicStore.destroy}; koa-session's object is ignored
   * @returns whether there was a live one
   */
  destroy(sid: string, note?: string | StoreCall): boolean {
    const entry = this.#entries.alive(sid);
    if (!entry) return false;
    if (typeof note === "string") this.#former.set(sid, undefined, note);
    this.#entries.remove(entry, "destroyed");
    return true;
  }

  /** The same as {@linkcode SessionStore.destroy}. */
  delete(sid: string): boolean {
    return this.destroy(sid);
  }

  /**
   * Restarts the life of a session, without changing its data.
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
   * Removes expired sessions, at a cost proportional to their number.
   *
   * @returns how many sessions it removed
   */
  cleanup(): number {
    const cleared = this.#entries.expire(Infinity);
    if (cleared > 0) this.#events.emit("cleanup", this, cleared);
    return cleared;
  }

  /**
   * Adds a listener to the events of the store.
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
   * Removes a listener that {@linkcode SessionStore.on} added.
   *
   * @param event the event
   * @param listener the listener
   * @returns this store
   */
  off<K extends keyof SessionStoreEvents>(
    event: K,
    listener: (...args: SessionStoreEvents[K]) => void,
  ): this {
    this.#events.off(event, listener as (...args: unknown[]) => void);
    return this;
  }

  /** Stops the clean-up timer. Stored sessions stay readable. */
  close(): void {
    this.#cleanup?.stop();
  }

  /** The same as {@linkcode SessionStore.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** The ids of the sessions, including expired ones that were not yet removed. */
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
  begin(
    sid: string,
    record: SessionRecord,
    options: BeginOptions = {},
  ): BeginResult {
    if (this.#entries.alive(sid)) return { status: "taken" };
    const live = this.#entries.aliveOf(record.clientId);
    const refusal = live && refusalOf(record, options, live.sid, live.arrived);
    if (refusal) return refusal;
    const { version } = this.#put(sid, record);
    return { status: "begun", version, before: live?.sid };
  }

  /** See {@linkcode AtomicStore.extend}. */
  extend(sid: string, expires: number, lastUsed?: number): boolean {
    const entry = this.#entries.alive(sid);
    entry?.extend(expires, lastUsed);
    return entry !== undefined;
  }

  /** See {@linkcode AtomicStore.move}; there are no leases, so a token is `"lost"`. */
  move(
    from: string,
    to: string,
    record: SessionRecord,
    condition: MoveCondition,
    note: string,
  ): MoveResult {
    const { old, ...result } = this.#entries.move(from, to, record, condition);
    if (!old) return result;
    this.#former.set(from, to, note);
    this.#cleanup?.schedule();
    this.#events.emit("set", this, to, true);
    this.#removed(old, "moved");
    return result;
  }

  /** See {@linkcode AtomicStore.former}. */
  former(sid: string): FormerId | undefined {
    return this.#former.get(sid);
  }

  /** See {@linkcode AtomicStore.byClient}. */
  byClient(clientId: string): string | undefined {
    return this.#entries.owners.byClient(clientId);
  }

  /** See {@linkcode AtomicStore.byUser}. */
  byUser(user: string): readonly string[] {
    return this.#entries.owners.byUser(user);
  }

  /** See {@linkcode AtomicStore.scan}. */
  async *scan(limit: number): AsyncGenerator<readonly ScannedSession[]> {
    yield* this.#entries.scan(limit);
  }

  #put(sid: string, record: SessionRecord): Entry {
    const before = this.#entries.size;
    const entry = this.#entries.put(sid, record);
    const isNew = this.#entries.size > before;
    this.#cleanup?.schedule();
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
}
