/**
 * Rotation: a new id for a session. The old id is dead; calls that wait for it
 * continue under the new one if sockets follow, and find it missing otherwise.
 *
 * @module
 */
import type { SessionRecord, StoredRecord } from "../api/store.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";
import type { TransactionDeps } from "./deps.ts";
import { MAX_TRIES, unstableVersionError } from "./opener.ts";
import { changeOf } from "./record_builder.ts";
import type { CommitOutcome, RequestCommits } from "./request_commit.ts";
import type { RequestOrigin } from "./request_origin.ts";
import type { TransactionScope } from "./scope.ts";
import type { HeldSession } from "./session_lock.ts";
import type { SessionMove } from "./session_move.ts";
import type { SocketRotation } from "./session_observer.ts";
import { stricter } from "./user_policy.ts";

/** How a session is rotated. */
export interface Rotation {
  /** What becomes of the client's sockets. */
  readonly sockets: SocketRotation;
  /** The client id to bind the session to; `undefined` keeps the one it has. */
  readonly clientId: string | undefined;
}

/** Rotates sessions. */
export class SessionRotation {
  readonly #deps: TransactionDeps;
  readonly #requests: RequestCommits;
  readonly #move: SessionMove;

  constructor(
    deps: TransactionDeps,
    requests: RequestCommits,
    move: SessionMove,
  ) {
    this.#deps = deps;
    this.#requests = requests;
    this.#move = move;
  }

  /**
   * Gives a session a new id, under its lock.
   *
   * @param base the record that the request loaded
   * @param commit what the request writes
   */
  async rotate(
    from: string,
    to: string,
    base: StoredRecord,
    commit: SessionWrite,
    how: Rotation,
    request: RequestOrigin,
    ctx: unknown,
  ): Promise<CommitOutcome> {
    const { opener } = this.#deps;
    const scope = opener.scopeOf(from);
    if (scope) {
      return await this.#inside(scope, to, base, commit, how, request, ctx);
    }
    commit = await this.#requests.writable(base, commit);
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const opened = await opener.open(from, ctx, true);
      if ("missing" in opened) return await this.#requests.missing(from);
      if (opened.sid !== from) {
        // rotated before this request: that new id stands
        opened.release();
        return await this.#requests.commit(
          opened.sid,
          base,
          commit,
          request,
          ctx,
        );
      }
      const outcome = await this.#rotateHeld(
        opened,
        to,
        base,
        commit,
        how,
        request,
        ctx,
      );
      if (outcome) return outcome;
    }
    throw unstableVersionError();
  }

  /** @returns `undefined` when the hold was lost, or the session ended */
  async #rotateHeld(
    held: HeldSession,
    to: string,
    base: StoredRecord,
    commit: SessionWrite,
    how: Rotation,
    request: RequestOrigin,
    ctx: unknown,
  ): Promise<CommitOutcome | undefined> {
    const { records, users } = this.#deps;
    const { sid: from, record: before } = held;
    try {
      const data = await this.#requests.merged(from, base, commit, before);
      const change = records.usersOf(before.data, data);
      const life = records.life(from, base, commit, before);
      const next = bound(
        records.afterRequest(before, data, life, {
          users: change,
          request,
        }),
        how,
      );
      const userChange = changeOf(change);
      const sockets = stricter(how.sockets, users.rotationFor(userChange));
      const occasion = { request, userChange };
      const move = { from, to, next, before, sockets, ctx, occasion };
      return await users.withinLimit(userChange?.to, [from], async () => {
        const moved = await this.#move.move(held, move);
        if (moved.status !== "done") return undefined;
        moved.held.release();
        const { record } = moved.held;
        return { status: "done", sid: to, record, rotated: sockets };
      });
    } finally {
      held.release();
    }
  }

  /** Rotates a session from inside a handler that holds it. */
  async #inside(
    scope: TransactionScope,
    to: string,
    base: StoredRecord,
    commit: SessionWrite,
    how: Rotation,
    request: RequestOrigin,
    ctx: unknown,
  ): Promise<CommitOutcome> {
    const { records } = this.#deps;
    const { top } = scope;
    const { held } = top;
    if (scope.result === null) return { status: "ended" };
    const life = this.#requests.applied(scope, base, commit, request);
    // the handler still runs: its own changes are written at its end
    const { record: before } = held;
    const next = bound(
      records.afterRequest(
        before,
        before.data,
        life,
        { request },
      ),
      how,
    );
    const moved = await this.#move.move(held, {
      from: held.sid,
      to,
      next,
      before,
      sockets: how.sockets,
      ctx,
      occasion: { request },
    });
    if (moved.status !== "done") return { status: "ended" };
    held.release();
    top.held = moved.held;
    // with the data and the version of the base the next patch is merged, not written as it is
    const { data, version: baseVersion } = base;
    return {
      status: "done",
      sid: to,
      record: { ...next, data, version: baseVersion },
      rotated: how.sockets,
      joined: life,
    };
  }
}

function bound(record: SessionRecord, how: Rotation): SessionRecord {
  return how.clientId === undefined
    ? record
    // settled from the start: the former client may still send the session cookie
    : { ...record, clientId: how.clientId, settled: true };
}
