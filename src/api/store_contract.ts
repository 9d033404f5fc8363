/**
 * The store contract, in two tiers.
 *
 * @module
 */

/** A value, or a promise of it. */
export type Awaitable<T> = T | Promise<T>;

/** Session data, or koa-session's own object: anything that JSON can represent. */
export type SessionData = Record<string, unknown>;

/** The further arguments of koa-session's calls to its store. */
export interface StoreCall {
  /** The Koa context of the request, or of the socket's handshake; absent where there is none. */
  readonly ctx?: unknown;
  /** koa-session's `rolling` option. */
  readonly rolling?: boolean;
  /** Whether koa-session saw the data change. */
  readonly changed?: boolean;
}

/**
 * The basic tier: any store that koa-session accepts. It holds koa-session's
 * own object, plus one `_bridge` key. Two processes on a basic store can
 * overwrite each other's changes.
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
  /** Reports removals: `"destroy"` → `(store, sid)`. */
  on?(
    event: string,
    listener: (store: unknown, sid: string) => void,
  ): unknown;
  /** Undoes `on`, where the store can. */
  off?(
    event: string,
    listener: (store: unknown, sid: string) => void,
  ): unknown;
  /** Reports that the session is in use. The bridge never calls it: it writes the new end instead. */
  touch?(
    sid: string,
    session: SessionData,
    maxAge?: number | "session",
    call?: StoreCall,
  ): Awaitable<unknown>;
  /** Releases files, connections and timers. */
  close?(): Awaitable<unknown>;
}

/** Changes with every write of a session and is never used again, not even after a removal. */
export type Version = string | number;

/** A session as an atomic store holds it: one value under one key. */
export interface SessionRecord {
  /** JSON text of an object: the session's data without koa-session's bookkeeping. */
  readonly data: string;
  /** How long the session lives without activity, in ms. */
  readonly maxAge: number;
  /** When it ends without further activity, ms since the epoch. */
  readonly expires: number;
  /** When it ends whatever the activity, ms since the epoch; `undefined` where there is no such limit. */
  readonly absoluteEnd: number | undefined;
  /**
   * The end of the last session cookie, ms since the epoch; `"session"` for a
   * cookie that ends with the browser, `undefined` where none is known of.
   */
  readonly cookie: number | "session" | undefined;
  /** The client that the session is bound to. */
  readonly clientId: string | undefined;
  /** Whether a request has presented the session cookie, which settles the binding. */
  readonly settled: boolean;
  /** The user that the session belongs to, for "log out everywhere". */
  readonly user: string | undefined;
}

/** A record with the version that the next conditional write must give. */
export interface StoredRecord extends SessionRecord {
  /** The version of the record as it was read. */
  readonly version: Version;
}

/** The result of {@linkcode AtomicStore.begin}. */
export interface BeginResult {
  /** The version of the record as it was written. */
  readonly version: Version;
  /** A hint: the session that {@linkcode AtomicStore.byClient} returned until then. Check the record. */
  readonly before: string | undefined;
}

/**
 * The atomic tier: every operation is atomic within
 * {@linkcode AtomicStore.scope}. None of its members is optional.
 *
 * A store may return a record up to {@linkcode EXPIRED_GRACE} ms past its
 * `expires`, so that a late reader can distinguish an expired session from one
 * that never was. Such a record does not count as alive, and no write to it
 * succeeds.
 */
export interface AtomicStore {
  /** `"process"`: operations are atomic among callers in this process. `"shared"`: among all. */
  readonly scope: "process" | "shared";
  /** The record, or `undefined`. */
  read(sid: string): Awaitable<StoredRecord | undefined>;
  /**
   * Writes the record if the stored version is `expected`, or, with `null`, if
   * there is none.
   *
   * @returns the new version, or `undefined` when the write was refused: the
   * version has changed, the session has ended or expired, or (on a shared
   * store) there is a lease on it
   */
  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
  ): Awaitable<Version | undefined>;
  /**
   * Writes a new session and makes it the one of its client, in place of the
   * one before. Of any number that are begun at once for one client, each but
   * the last is returned once as `before`.
   *
   * @returns `undefined` when there is a session of this id
   */
  begin(sid: string, record: SessionRecord): Awaitable<BeginResult | undefined>;
  /**
   * Moves the end of a session, and nothing else: neither data nor version
   * change, an earlier end is ignored and `absoluteEnd` is not exceeded.
   *
   * @param expires the new end, ms since the epoch
   * @returns whether the session is alive
   */
  extend(sid: string, expires: number): Awaitable<boolean>;
  /**
   * Ends a session at once, even while there is a lease on it.
   *
   * @param options `movedTo`: the new id of the session, kept for
   * {@linkcode MOVED_FOR} ms for requests already sent with the old one
   * @returns whether there was one alive
   */
  destroy(
    sid: string,
    options?: { readonly movedTo?: string },
  ): Awaitable<boolean>;
  /** The new id of a session that was destroyed with `movedTo`. */
  movedTo(sid: string): Awaitable<string | undefined>;
  /** A hint: the session that was last bound to this client. Check the record. */
  byClient(clientId: string): Awaitable<string | undefined>;
  /** A hint: sessions that belong to this user. Check each record. */
  byUser(user: string): Awaitable<readonly string[]>;
}

/** The result of {@linkcode SharedStore.acquire}. */
export type AcquireResult =
  /** The lease is granted; `record` is the session at that time. */
  | { readonly status: "granted"; readonly record: StoredRecord }
  /** There is no such session, or (`waited`) it ended, or moved, during the wait. */
  | { readonly status: "missing"; readonly waited: boolean }
  /** Others held the lease for all of `waitMs`. */
  | { readonly status: "timeout" };

/** The result of {@linkcode SharedStore.commit}. */
export type CommitResult =
  /** The record, if one was given, is written; the lease is released. */
  | { readonly status: "done"; readonly version: Version }
  /** The session ended during the lease: nothing was written. */
  | { readonly status: "missing" }
  /** The lease was overdue and was granted to another: nothing was written. */
  | { readonly status: "lost" };

/** The shared tier, for stores of many processes: leases with a fencing token. */
export interface SharedStore extends AtomicStore {
  /** Always `"shared"`. */
  readonly scope: "shared";
  /**
   * Takes the lease on a session and reads it, in one round trip; waits in
   * order of arrival while others hold it.
   *
   * After `holdMs` the lease may be granted to the next waiter. A lease that is
   * granted after the wait timed out is released at once.
   *
   * @param token the fencing token: unique to this lease
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
   * trip. An overdue lease counts until it is granted to another.
   */
  commit(
    sid: string,
    token: string,
    record: SessionRecord | undefined,
  ): Promise<CommitResult>;
  /** A hint: the live session whose id has this hash, see `hashId`. */
  byHash(hash: string): Promise<string | undefined>;
  /** The versions of many sessions in one call; `undefined` for each that has ended. */
  versions(
    sids: readonly string[],
  ): Promise<readonly (Version | undefined)[]>;
  /** Closes what the store itself opened. */
  close(): Awaitable<void>;
}

/** Why `SessionStore` removed a session. */
export type RemovalReason = "destroyed" | "expired" | "evicted" | "moved";
