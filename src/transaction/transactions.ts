/**
 * The entry of the transaction room: every read and write of a session, from
 * HTTP or from a socket, passes through here. A transaction waits for the
 * lock, reads, runs the handler, and writes what it changed if the session
 * neither ended nor was passed on.
 *
 * @module
 */
import type { EndReason } from "../api/events.ts";
import type { SessionSchema } from "../api/schema.ts";
import type {
  ScannedSession,
  SharedStore,
  StoredRecord,
} from "../api/store.ts";
import { COMMIT } from "../base/tracing.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";
import type { RecordStore } from "../stores/record_store.ts";
import type { TransactionDeps, TransactionOptions } from "./deps.ts";
import { LateChanges } from "./late_changes.ts";
import { LeaseLocks } from "./lease_locks.ts";
import { LocalLocks } from "./local_locks.ts";
import { SessionLookup } from "./lookup.ts";
import { SessionOpener } from "./opener.ts";
import { RecordBuilder } from "./record_builder.ts";
import type { RequestOrigin } from "./request_origin.ts";
import { type CommitOutcome, RequestCommits } from "./request_commit.ts";
import { type Rotation, SessionRotation } from "./rotation.ts";
import { SchemaGuard } from "./schema_guard.ts";
import type { SessionCall } from "./session_call.ts";
import { SessionCalls, type TransactionCaller } from "./session_calls.ts";
import type { LockCounts, SessionLocks } from "./session_lock.ts";
import type { SessionObserver } from "./session_observer.ts";
import { SessionCreation } from "./session_creation.ts";
import { SessionMove } from "./session_move.ts";
import { StoreAccess } from "./store_access.ts";
import { type EndOptions, SessionTermination } from "./termination.ts";
import type { Tombstones } from "./tombstones.ts";
import { Undo } from "./undo.ts";
import { UserPolicy } from "./user_policy.ts";

/** The options of transactions and of the schema. */
export interface TransactionsOptions extends TransactionOptions {
  readonly schema: SessionSchema | undefined;
  readonly onInvalid: "end" | "throw";
}

/** Every read and write of a session. */
export class Transactions {
  readonly lookup: SessionLookup;
  readonly records: RecordBuilder;
  readonly counts: LockCounts = { waits: 0, timeouts: 0 };
  readonly #store: StoreAccess;
  /** The option of this name. */
  readonly maxWaiting: number;
  readonly #undo: Undo;
  readonly #locks: SessionLocks;
  readonly #observer: SessionObserver;
  readonly #opener: SessionOpener;
  readonly #termination: SessionTermination;
  readonly #users: UserPolicy;
  readonly #creation: SessionCreation;
  readonly #requests: RequestCommits;
  readonly #rotation: SessionRotation;
  readonly #calls: SessionCalls;
  readonly #lateChanges = new LateChanges(
    "a handler of withSession had returned",
    "Change it inside the handler, and await there what takes time.",
  );

  constructor(
    records: RecordStore,
    options: TransactionsOptions,
    observer: SessionObserver,
  ) {
    this.maxWaiting = options.maxWaiting;
    const store = new StoreAccess(records, options.storeTimeout);
    const undo = this.#undo = new Undo(store);
    const locks = locksOf(records, store, undo, options, this.counts);
    const guard = options.schema && new SchemaGuard(
      options.schema,
      options.onInvalid,
      (sid, record) => this.#termination.end(sid, "revoked", { record }),
    );
    const lookup = new SessionLookup(store, locks, observer, guard);
    const termination = new SessionTermination(store, locks, lookup, observer);
    const deps: TransactionDeps = {
      options,
      store,
      locks,
      counts: this.counts,
      lookup,
      records: new RecordBuilder(options, observer),
      opener: new SessionOpener(locks, lookup),
      termination,
      users: new UserPolicy(options, store, lookup, termination, undo),
      undo,
      guard,
      observer,
      lateChanges: this.#lateChanges,
    };
    this.lookup = lookup;
    this.records = deps.records;
    this.#store = store;
    this.#locks = locks;
    this.#observer = observer;
    this.#opener = deps.opener;
    this.#termination = termination;
    this.#users = deps.users;
    const move = new SessionMove(store, locks, termination, observer);
    this.#creation = new SessionCreation(deps);
    this.#requests = new RequestCommits(deps, move);
    this.#rotation = new SessionRotation(deps, this.#requests, move);
    this.#calls = new SessionCalls(deps, move);
  }

  /** Whether the store may read the Koa context that it is called with. */
  get mayReadContext(): boolean {
    return this.#store.mayReadContext;
  }

  /** Whether sockets enter sessions at their handshake only: with `onUserChange: "reconnect"`. */
  get reconnects(): boolean {
    return this.#users.reconnects;
  }

  /** Whether a change of user may give a session a new id. */
  get rotatesUsers(): boolean {
    return this.#users.rotates;
  }

  /** Whether no session can be reached without a Koa context. */
  get needsContext(): boolean {
    return this.#store.needsContext;
  }

  /** Transactions that ran. */
  get count(): number {
    return this.#calls.count;
  }

  /** Undos of writes that the store has not confirmed yet. */
  get undos(): number {
    return this.#undo.pending;
  }

  /**
   * The live sessions of the store, in batches; see {@linkcode SessionLookup.scan}.
   *
   * @param action what they are for, in the error for a store that cannot list them
   */
  scan(
    action: string,
    limit: number,
  ): AsyncIterable<readonly ScannedSession[]> {
    return this.lookup.scan(action, limit);
  }

  /** Stops what runs in the background. */
  close(): void {
    this.#undo.close();
    this.#lateChanges.check();
  }

  /** Ids of recently terminated sessions. */
  get tombstones(): Tombstones {
    return this.#store.tombstones;
  }

  /** Creates a session; see {@linkcode SessionCreation.create}. */
  create(
    sid: string,
    commit: SessionWrite,
    clientId: string,
    request: RequestOrigin,
    ctx: unknown,
  ): Promise<StoredRecord> {
    return traced(
      sid,
      () => this.#creation.create(sid, commit, clientId, request, ctx),
      () => "created",
    );
  }

  /** Checks a request whose session begins later; see {@linkcode RequestCommits.assertLatest}. */
  async assertLatest(request: RequestOrigin, ctx: unknown): Promise<void> {
    await this.#creation.assertLatest(request, ctx);
  }

  /** Writes a patch; see {@linkcode RequestCommits.commit}. */
  commit(
    sid: string,
    base: StoredRecord,
    commit: SessionWrite,
    request: RequestOrigin,
    ctx: unknown,
  ): Promise<CommitOutcome> {
    return traced(
      sid,
      () => this.#requests.commit(sid, base, commit, request, ctx),
      ({ status }) => status === "done" ? "written" : status,
    );
  }

  /** Gives a session a new id; see {@linkcode SessionRotation.rotate}. */
  rotate(
    from: string,
    to: string,
    base: StoredRecord,
    commit: SessionWrite,
    how: Rotation,
    request: RequestOrigin,
    ctx: unknown,
  ): Promise<CommitOutcome> {
    return traced(
      from,
      () => this.#rotation.rotate(from, to, base, commit, how, request, ctx),
      ({ status }) => status === "done" ? "rotated" : status,
    );
  }

  /**
   * Ends a session at once, whether it is held or not. A caller inside a
   * transaction on it ends that transaction's session.
   *
   * @returns whether it was alive and this call ended it
   */
  async end(
    sid: string,
    reason: EndReason,
    options?: EndOptions,
  ): Promise<boolean> {
    const top = this.#opener.scopeOf(sid)?.top;
    if (!top || top.ended) {
      return await this.#termination.end(sid, reason, options);
    }
    top.ended = true;
    let ended = false;
    try {
      return ended = await this.#termination.end(sid, reason, options);
    } finally {
      // not by this call: the commit finds out what became of it
      top.ended = ended;
    }
  }

  /** Reports a write that was dropped, as a later request of its client prevails. */
  reportRefusal(sid: string): void {
    this.#observer.conflict({
      sessionId: sid,
      keys: [],
      resolution: "refused",
    });
  }

  /** Whether a termination or a rotation of the session is in progress in this process. */
  isEnding(sid: string): boolean {
    return this.#termination.isEnding(sid);
  }

  /** Whether a rotation of this process, which is not reported yet, gives a session this id or takes it away. */
  isRotating(sid: string): boolean {
    return this.#termination.isRotating(sid);
  }

  /** Waits for the termination and the rotation of the session that are in progress in this process. */
  async settled(sid: string): Promise<void> {
    await this.#termination.settled(sid);
  }

  /** Marks a session as ended that ended without this process: its holder's write is refused. */
  revoke(sid: string, why: EndReason): void {
    this.#locks.revoke(sid, why);
  }

  /** Runs a handler with exclusive access to a session; see {@linkcode SessionCalls.run}. */
  run(
    sid: string | undefined,
    call: SessionCall,
    caller: TransactionCaller,
  ): Promise<unknown> {
    return this.#calls.run(sid, call, caller);
  }
}

/** The locks that a store calls for: leases where it is shared, else a queue in this process. */
function locksOf(
  records: RecordStore,
  store: StoreAccess,
  undo: Undo,
  options: TransactionOptions,
  counts: LockCounts,
): SessionLocks {
  return records.scope === "shared"
    ? new LeaseLocks(store, records as SharedStore, options, counts)
    : new LocalLocks(
      store,
      undo,
      records.needsExclusiveWrites === true,
      options,
      counts,
    );
}

/** Traces a write of a request. */
async function traced<T>(
  sid: string,
  act: () => Promise<T>,
  outcomeOf: (result: T) => string,
): Promise<T> {
  return COMMIT.enabled
    ? await COMMIT.run(sid, "http", act, outcomeOf)
    : await act();
}
