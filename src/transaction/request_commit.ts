/**
 * Writes of requests: a new session, or a patch against the one that was
 * loaded.
 *
 * @module
 */
import { SessionStoreError } from "../api/errors.ts";
import type {
  Awaitable,
  BeginResult,
  SessionRecord,
  StoredRecord,
} from "../api/store.ts";
import { waitAtMost } from "../base/async.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";
import type { TransactionDeps } from "./deps.ts";
import { MAX_TRIES, unstableVersionError } from "./opener.ts";
import { patchOf } from "./record_builder.ts";
import type { TransactionScope } from "./scope.ts";
import type { HeldSession } from "./session_lock.ts";

/** Result of a write. */
export type CommitOutcome =
  | {
    readonly status: "done";
    readonly sid: string;
    readonly record: StoredRecord;
  }
  | { readonly status: "ended" };

/** Commits what requests changed. */
export class RequestCommits {
  readonly #deps: TransactionDeps;
  /** The latest creation in progress, by client id. */
  readonly #creating = new Map<string, Promise<StoredRecord>>();

  constructor(deps: TransactionDeps) {
    this.#deps = deps;
  }

  /**
   * Creates a session under a fresh id. A client has one session: of those
   * that are created at once the later one stands, and the others end as
   * `replaced`.
   *
   * @throws {SessionStoreError} when the id is in use
   */
  async create(
    sid: string,
    commit: SessionWrite,
    clientId: string,
    ctx: unknown,
  ): Promise<StoredRecord> {
    const { guard, options } = this.#deps;
    const data = guard ? await guard.writable(commit.data) : commit.data;
    const create = () => this.#hidden(sid, { ...commit, data }, clientId, ctx);
    const earlier = this.#creating.get(clientId);
    // bounded, so that with the store down each of them fails in time
    const creating = earlier
      ? waitAtMost(earlier.catch(() => {}), options.storeTimeout).then(create)
      : create();
    this.#creating.set(clientId, creating);
    try {
      return await creating;
    } finally {
      if (this.#creating.get(clientId) === creating) {
        this.#creating.delete(clientId);
      }
    }
  }

  /** Hides the new session from reads until `started` was reported. */
  async #hidden(
    sid: string,
    commit: SessionWrite,
    clientId: string,
    ctx: unknown,
  ): Promise<StoredRecord> {
    const { tombstones } = this.#deps.store;
    tombstones.writeStarted(sid);
    tombstones.add(sid);
    let created = false;
    try {
      const record = await this.#create(sid, commit, clientId, ctx);
      created = true;
      return record;
    } finally {
      tombstones.writeSettled(sid);
      // the id may belong to another, live session
      if (!created) tombstones.clear(sid);
    }
  }

  async #create(
    sid: string,
    commit: SessionWrite,
    clientId: string,
    ctx: unknown,
  ): Promise<StoredRecord> {
    const { records, termination, observer } = this.#deps;
    const record = records.created(commit, clientId);
    const beginning = this.#begin(sid, record, ctx);
    // reported in the same turn where the store answers at once: another write may evict it
    const begun = beginning instanceof Promise ? await beginning : beginning;
    if (!begun) {
      throw new SessionStoreError(
        "Cannot begin a session as genid returned an id that is in use",
      );
    }
    const { before } = begun;
    try {
      if (before !== undefined) await this.#replace(before, clientId, ctx);
    } catch (error) {
      await termination.discard(sid, ctx);
      throw error;
    }
    observer.started(sid, record, "created");
    if (before !== undefined) await this.#confirm(sid, ctx);
    return { ...record, version: begun.version };
  }

  /**
   * Reads a new session once more: another node may have replaced it before
   * its start was reported here, and its message found no such session.
   */
  async #confirm(sid: string, ctx: unknown): Promise<void> {
    if (!this.#deps.store.isShared) return;
    try {
      await this.#deps.lookup.find(sid, ctx);
    } catch {
      // the session was created all the same, and its next use reads again
    }
  }

  #begin(
    sid: string,
    record: SessionRecord,
    ctx: unknown,
  ): Awaitable<BeginResult | undefined> {
    const { store, termination } = this.#deps;
    let sent: Awaitable<BeginResult | undefined>;
    const answer = store.call(
      "write",
      (records) => sent = records.begin(sid, record, ctx),
    );
    if (!(answer instanceof Promise)) return answer;
    return answer.catch((error) => {
      // the store may still apply the write
      Promise.resolve(sent).then(
        (late) => late && termination.discard(sid, ctx),
        () => {},
      );
      throw error;
    });
  }

  /** Ends the former session of the client. */
  async #replace(
    sid: string,
    clientId: string,
    ctx: unknown,
  ): Promise<void> {
    const { lookup, termination } = this.#deps;
    const record = await lookup.boundTo(sid, clientId, ctx);
    if (record) await termination.end(sid, "replaced", { record, ctx });
  }

  /**
   * Writes what a request changed, as a patch against what it loaded. It waits
   * for a transaction on the session, and never overlaps one.
   */
  async commit(
    sid: string,
    base: StoredRecord,
    commit: SessionWrite,
    ctx: unknown,
  ): Promise<CommitOutcome> {
    const { opener, records, locks, guard } = this.#deps;
    const scope = opener.scopeOf(sid);
    if (scope) return this.#commitInside(scope, base, commit);
    if (guard) commit = await this.writable(base, commit);
    const record = records.afterRequest(base, commit.data, commit);
    // unchanged since it was loaded: nothing has to be read again
    const version = await locks.writeIfCurrent(sid, record, base.version, ctx);
    if (version !== undefined) return this.#done(sid, record, base, version);
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const opened = await opener.open(sid, ctx, true);
      if ("missing" in opened) return { status: "ended" };
      const outcome = await this.#commitHeld(opened, base, commit);
      if (outcome) return outcome;
    }
    throw unstableVersionError();
  }

  /** @returns `undefined` when the hold was lost: a patch, unlike a handler, may be tried again */
  async #commitHeld(
    held: HeldSession,
    base: StoredRecord,
    commit: SessionWrite,
  ): Promise<CommitOutcome | undefined> {
    const { records } = this.#deps;
    let current = held.record;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      let next: SessionRecord;
      try {
        const merged = this.merged(held.sid, base, commit, current);
        const data = typeof merged === "string" ? merged : await merged;
        next = records.afterRequest(current, data, commit);
      } catch (error) {
        held.release();
        throw error;
      }
      const closed = await held.close(next, current.version);
      if (closed.status === "done") {
        return this.#done(held.sid, next, current, closed.version);
      }
      if (closed.status !== "changed") return undefined;
      current = closed.record;
    }
    held.release();
    return undefined;
  }

  /** The write of a request, with its data as the schema makes it. */
  async writable(
    base: StoredRecord,
    commit: SessionWrite,
  ): Promise<SessionWrite> {
    const { guard } = this.#deps;
    return guard && commit.data !== base.data
      ? { ...commit, data: await guard.writable(commit.data) }
      : commit;
  }

  /** The data of a request's write, merged into what is stored now. */
  merged(
    sid: string,
    base: StoredRecord,
    commit: SessionWrite,
    current: StoredRecord,
  ): Awaitable<string> {
    if (current.version === base.version) return commit.data;
    const { records, guard } = this.#deps;
    const data = records.merged(sid, base, patchOf(base, commit), current);
    return guard && data !== current.data ? guard.writable(data) : data;
  }

  #commitInside(
    scope: TransactionScope,
    base: StoredRecord,
    commit: SessionWrite,
  ): CommitOutcome {
    const { held } = scope.top;
    if (scope.result === null) return { status: "ended" };
    scope.apply(patchOf(base, commit));
    scope.top.cookie = { cookie: commit.cookie, maxAge: commit.maxAge };
    // the base stays: nothing is stored yet, and if the handler throws these changes are still pending
    return { status: "done", sid: held.sid, record: base };
  }

  #done(
    sid: string,
    next: SessionRecord,
    before: SessionRecord,
    version: StoredRecord["version"],
  ): CommitOutcome {
    const record = { ...next, version };
    this.#deps.observer.changed(sid, record, before);
    return { status: "done", sid, record };
  }
}
