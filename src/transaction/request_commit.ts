/**
 * Writes of requests: a patch against the session that was loaded.
 *
 * @module
 */
import {
  type Awaitable,
  isAlive,
  type SessionRecord,
  type StoredRecord,
} from "../api/store.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";
import type { TransactionDeps } from "./deps.ts";
import { MAX_TRIES, unstableVersionError } from "./opener.ts";
import { changeOf, type Life, patchOf } from "./record_builder.ts";
import type { RequestOrigin } from "./request_origin.ts";
import type { SessionMove } from "./session_move.ts";
import type { TransactionScope } from "./scope.ts";
import type { HeldSession } from "./session_lock.ts";
import type { SocketRotation, UserChange } from "./session_observer.ts";

/** Result of a write. */
export type CommitOutcome =
  | {
    readonly status: "done";
    readonly sid: string;
    readonly record: StoredRecord;
    /** Set where this write has given the session its new id. */
    readonly rotated?: SocketRotation;
    /** Set where it is a part of a transaction: the life that this will write. */
    readonly joined?: Life;
  }
  /** The session has ended; `left`: it goes on under an id that the request does not follow. */
  | { readonly status: "ended"; readonly left?: boolean };

/** Commits what requests changed. */
export class RequestCommits {
  readonly #deps: TransactionDeps;
  readonly #move: SessionMove;

  constructor(deps: TransactionDeps, move: SessionMove) {
    this.#deps = deps;
    this.#move = move;
  }

  /**
   * Writes what a request changed, as a patch against what it loaded. It waits
   * for a transaction on the session, and never overlaps one. A change of user
   * gives the session a new id, as `onUserChange` says.
   */
  async commit(
    sid: string,
    base: StoredRecord,
    commit: SessionWrite,
    request: RequestOrigin,
    ctx: unknown,
  ): Promise<CommitOutcome> {
    const { opener, records, locks, guard } = this.#deps;
    const scope = opener.scopeOf(sid);
    if (scope) return this.#commitInside(scope, base, commit, request);
    if (guard) commit = await this.writable(base, commit);
    const users = records.usersOf(base.data, commit.data);
    // a store may keep the record of a session that has expired by now
    if (!changeOf(users) && isAlive(base)) {
      const record = records.afterRequest(base, commit.data, commit, { users });
      // unchanged since it was loaded: nothing has to be read again
      const version = await locks.writeIfCurrent(
        sid,
        record,
        base.version,
        ctx,
      );
      if (version !== undefined) {
        return this.#done(sid, { ...record, version }, base);
      }
    }
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const opened = await opener.open(sid, ctx, true);
      if ("missing" in opened) return await this.missing(sid);
      const outcome = await this.#commitHeld(
        opened,
        base,
        commit,
        request,
        ctx,
      );
      if (outcome) return outcome;
    }
    throw unstableVersionError();
  }

  /** The outcome for a session that has no record under the id. */
  async missing(sid: string): Promise<CommitOutcome> {
    return { status: "ended", left: await this.#deps.lookup.goesOn(sid) };
  }

  /** @returns `undefined` when the hold was lost: a patch, unlike a handler, may be tried again */
  async #commitHeld(
    held: HeldSession,
    base: StoredRecord,
    commit: SessionWrite,
    request: RequestOrigin,
    ctx: unknown,
  ): Promise<CommitOutcome | undefined> {
    let current = held.record;
    try {
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const merged = this.merged(held.sid, base, commit, current);
        const data = typeof merged === "string" ? merged : await merged;
        const users = this.#deps.records.usersOf(current.data, data);
        const life = this.#deps.records.life(held.sid, base, commit, current);
        const next = this.#deps.records.afterRequest(current, data, life, {
          users,
          request,
        });
        const change = changeOf(users);
        if (change) {
          return await this.#commitChange(
            held,
            next,
            current,
            change,
            request,
            ctx,
          );
        }
        const closed = await held.close(next, current.version);
        if (closed.status === "done") {
          const { version } = closed;
          return this.#done(held.sid, { ...next, version }, current);
        }
        if (closed.status !== "changed") return undefined;
        current = closed.record;
      }
      return undefined;
    } finally {
      held.release();
    }
  }

  /** Commits a change of user: under a new id, or under the same where none can be sent. */
  async #commitChange(
    held: HeldSession,
    next: SessionRecord,
    before: StoredRecord,
    userChange: UserChange,
    request: RequestOrigin,
    ctx: unknown,
  ): Promise<CommitOutcome | undefined> {
    const { users, observer } = this.#deps;
    const { sid } = held;
    const own = [sid];
    return await users.withinLimit(userChange.to, own, async () => {
      const sockets = request.canSendIds && users.rotationFor(userChange);
      if (sockets) {
        const moved = await this.#move.move(held, {
          from: sid,
          to: request.newSid(),
          next,
          before,
          sockets,
          ctx,
          occasion: { request, userChange },
        });
        if (moved.status !== "done") return undefined;
        moved.held.release();
        const { sid: to, record } = moved.held;
        return { status: "done", sid: to, record, rotated: sockets };
      }
      if (!request.canSendIds) users.idsKept(userChange);
      const closed = await held.close(next, before.version);
      if (closed.status !== "done") return undefined;
      const record = { ...next, version: closed.version };
      observer.changed(sid, record, before, { request, userChange });
      return { status: "done", sid, record };
    });
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
    loaded: StoredRecord,
    commit: SessionWrite,
    request: RequestOrigin,
  ): CommitOutcome {
    if (scope.result === null) return { status: "ended" };
    const { held } = scope.top;
    const joined = this.applied(scope, loaded, commit, request);
    scope.top.cookie = joined;
    // the base stays: nothing is stored yet, and if the handler throws these changes are still pending
    return { status: "done", sid: held.sid, record: loaded, joined };
  }

  /**
   * Applies what a request changed, since it last did, to the transaction that
   * it is in.
   *
   * @returns the life that it gives to session and cookie
   */
  applied(
    scope: TransactionScope,
    loaded: StoredRecord,
    commit: SessionWrite,
    request: RequestOrigin,
  ): Life {
    const { top } = scope;
    const base = scope.baseOf(request, loaded);
    const { records } = this.#deps;
    const { maxAge, cookie } = records.life(top.sid, base, commit, top.current);
    scope.apply(patchOf(base, commit));
    const { data } = commit;
    scope.noteApplied(request, { ...loaded, data, maxAge, cookie });
    return { maxAge, cookie };
  }

  #done(
    sid: string,
    record: StoredRecord,
    before: SessionRecord,
  ): CommitOutcome {
    this.#deps.observer.changed(sid, record, before);
    return { status: "done", sid, record };
  }
}
