/**
 * The store contract, in two tiers.
 *
 * @module
 */

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
  /** A hint that the session is in use, for those who use the store beside the bridge, which writes the new end instead. */
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

/** What came of a new session. */
export interface BeginResult {
  /** Of the record as it was written. */
  readonly version: Version;
  /** A hint: the session that {@linkcode AtomicStore.byClient} led to until then. Check the record. */
  readonly before: string | undefined;
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
   * Writes a new session, and makes it its client's, whom it may take from
   * another session: of any number that are begun at once for one client, each
   * but the last is told of once.
   *
   * @returns `undefined` when there is a session of this id
   */
  begin(sid: string, record: SessionRecord): Awaitable<BeginResult | undefined>;
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
export type AcquireResult =
  /** The session is yours until the hold is over, as it was when you got it. */
  | { readonly status: "granted"; readonly record: StoredRecord }
  /** There is no such session, or (`waited`) it ended, or moved, while you waited. */
  | { readonly status: "missing"; readonly waited: boolean }
  /** Others held it for as long as you were ready to wait. */
  | { readonly status: "timeout" };

/** What came of the end of a hold. */
export type CommitResult =
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
  ): Promise<AcquireResult>;
  /**
   * Writes the record, if one is given, and releases the lease, in one round
   * trip. An overdue hold counts while the session was given to nobody else.
   */
  commit(
    sid: string,
    token: string,
    record: SessionRecord | undefined,
  ): Promise<CommitResult>;
  /** A hint: the live session whose id has this hash, see `hashId`. */
  byHash(hash: string): Promise<string | undefined>;
  /** The versions of many sessions in one go; `undefined` for each that is gone. */
  versions(
    sids: readonly string[],
  ): Promise<readonly (Version | undefined)[]>;
  /** Lets go of what the store itself opened. */
  close(): Awaitable<void>;
}

/** Why `SessionStore` removed a session. */
export type RemovalReason = "destroyed" | "expired" | "evicted" | "moved";
