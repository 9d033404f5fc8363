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
  /** When the session was created, ms since the epoch; `undefined` in records of earlier versions. */
  readonly created: number | undefined;
  /** When its user last changed, ms since the epoch; `undefined` while it has had none. */
  readonly authenticatedAt: number | undefined;
  /** The last write or recorded activity, ms since the epoch; `undefined` in records of earlier versions. */
  readonly lastUsed: number | undefined;
  /** When the request that began or rotated it arrived, ms since the epoch, with fractions; `undefined` where no request did. */
  readonly arrived: number | undefined;
  /** JSON text of the option `meta`'s result, at most 1 kB. */
  readonly meta: string | undefined;
  /** A random name that is no secret, for pages that list sessions; `undefined` in records of earlier versions. */
  readonly handle: string | undefined;
}

/** A record with the version that the next conditional write must give. */
export interface StoredRecord extends SessionRecord {
  /** The version of the record as it was read. */
  readonly version: Version;
}

/** The result of {@linkcode AtomicStore.begin}. */
export type BeginResult =
  /** Written; `before` is a hint: the session that {@linkcode AtomicStore.byClient} returned until then. */
  | {
    readonly status: "begun";
    readonly version: Version;
    readonly before: string | undefined;
  }
  /** There is a session of this id: nothing was written. */
  | { readonly status: "taken" }
  /** The client's live session has a later `arrived`: nothing was written. */
  | { readonly status: "superseded" }
  /** The client's live session is not among `replaces`: nothing was written. */
  | { readonly status: "occupied"; readonly before: string };

/** Conditions of {@linkcode AtomicStore.begin}. */
export interface BeginOptions {
  /**
   * The sessions that the new one may take its client from; left out, any. A
   * client whose session has ended or expired, or is bound to another client
   * by now, is free.
   */
  readonly replaces?: readonly string[];
}

/** The condition of {@linkcode AtomicStore.move}: either is required. */
export type MoveCondition =
  /** The version that the session must have; on a shared store there must be no lease on it. */
  | { readonly expected: Version }
  /** Shared stores: the fencing token of the lease that the caller holds. */
  | { readonly token: string };

/** The result of {@linkcode AtomicStore.move}. */
export type MoveResult =
  /** The session has the new id and this version, and none has the old id. */
  | { readonly status: "done"; readonly version: Version }
  /** The session has ended or expired: nothing was written. */
  | { readonly status: "missing" }
  /** The version has changed, or the lease is not the caller's any more: nothing was written. */
  | { readonly status: "lost" }
  /** There is a session of the new id: nothing was written. */
  | { readonly status: "taken" };

/** What a store keeps of an id whose session was moved, or ended with a note. */
export interface FormerId {
  /** The id that the session was moved to; `undefined` where it ended. */
  readonly to: string | undefined;
  /** When that happened, ms since the epoch, by the clock of the caller. */
  readonly at: number;
  /** The note, as it was given. */
  readonly note: string;
}

/** A session as {@linkcode AtomicStore.scan} finds it. */
export interface ScannedSession {
  /** The session's id. */
  readonly sid: string;
  /** Its record. */
  readonly record: StoredRecord;
}

/**
 * The atomic tier: every operation is atomic within
 * {@linkcode AtomicStore.scope}. Only {@linkcode AtomicStore.scan} is optional.
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
   */
  begin(
    sid: string,
    record: SessionRecord,
    options?: BeginOptions,
  ): Awaitable<BeginResult>;
  /**
   * Moves the end of a session and sets `lastUsed`, and nothing else: neither
   * data nor version change, an earlier end is ignored, `absoluteEnd` is not
   * exceeded, and an earlier `lastUsed` is ignored.
   *
   * @param expires the new end, ms since the epoch; 0 leaves it as it is
   * @param lastUsed ms since the epoch; left out, it stays as it is
   * @returns whether the session is alive
   */
  extend(sid: string, expires: number, lastUsed?: number): Awaitable<boolean>;
  /**
   * Ends a session at once, even while there is a lease on it.
   *
   * @param note kept for {@linkcode MOVED_FOR} ms, see {@linkcode FormerId};
   * left out, nothing is kept
   * @returns whether there was one alive
   */
  destroy(sid: string, note?: string): Awaitable<boolean>;
  /**
   * Gives a session a new id and a new record, in one step: at no time is it
   * under both ids, or under neither. Look-ups by client and user follow.
   * Calls that wait for a lease on the old id find it missing; with `token` the
   * lease goes on under the new id.
   *
   * @param note kept for {@linkcode MOVED_FOR} ms, see {@linkcode FormerId}
   */
  move(
    from: string,
    to: string,
    record: SessionRecord,
    condition: MoveCondition,
    note: string,
  ): Awaitable<MoveResult>;
  /** What is kept of an id that was moved, or ended with a note. */
  former(sid: string): Awaitable<FormerId | undefined>;
  /** A hint: the session that was last bound to this client. Check the record. */
  byClient(clientId: string): Awaitable<string | undefined>;
  /** A hint: sessions that belong to this user. Check each record. */
  byUser(user: string): Awaitable<readonly string[]>;
  /**
   * The live sessions, in batches, for `bridge.sessions()` and
   * `bridge.destroyAll()`, which a store without it refuses. A session that is
   * alive from the first batch to the last, and is not moved, is in one of them;
   * one that is moved may be missed, or be in two.
   *
   * @param limit how many sessions a batch has at most, about
   */
  scan?(limit: number): AsyncIterable<readonly ScannedSession[]>;
}

/** The result of {@linkcode SharedStore.acquire}. */
export type AcquireResult =
  /** The lease is granted; `record` is the session at that time. `waited`: others held it before. */
  | {
    readonly status: "granted";
    readonly record: StoredRecord;
    readonly waited?: true;
  }
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
  /**
   * Takes a lock that belongs to no session, without waiting.
   *
   * @param name what is locked
   * @param token unique to this lock
   * @param holdMs after this time another caller may take it
   * @returns whether it was free, or overdue
   */
  tryLock(name: string, token: string, holdMs: number): Promise<boolean>;
  /** Releases a lock, if the token still holds it. */
  unlock(name: string, token: string): Promise<void>;
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
