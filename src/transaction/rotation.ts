/**
 * Rotation: a new id for a session. The old id has ended; calls that wait for it
 * continue under the new one.
 *
 * @module
 */
import { SessionStoreError } from "../api/errors.ts";
import type { SessionRecord, StoredRecord, Version } from "../api/store.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";
import type { TransactionDeps } from "./deps.ts";
import { patchOf } from "./record_builder.ts";
import type { CommitOutcome, RequestCommits } from "./request_commit.ts";
import type { TransactionScope } from "./scope.ts";
import type { OpenResult } from "./session_lock.ts";
import type { SocketRotation } from "./session_observer.ts";

/** How a session is rotated. */
export interface Rotation {
  /** Whether the client's sockets follow the session or leave it. */
  readonly sockets: SocketRotation;
  /** The client id to bind the session to; `undefined` keeps the one it has. */
  readonly clientId: string | undefined;
}

/** One rotation, as its steps need it. */
interface Move {
  readonly from: string;
  readonly to: string;
  readonly next: SessionRecord;
  readonly before: SessionRecord;
  readonly how: Rotation;
  readonly ctx: unknown;
  /** Runs once the record is stored under the new id, before the old one is destroyed. */
  readonly written?: () => Promise<void>;
}

/** Rotates sessions. */
export class SessionRotation {
  readonly #deps: TransactionDeps;
  readonly #requests: RequestCommits;

  constructor(deps: TransactionDeps, requests: RequestCommits) {
    this.#deps = deps;
    this.#requests = requests;
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
    ctx: unknown,
  ): Promise<CommitOutcome> {
    const { opener } = this.#deps;
    const scope = opener.scopeOf(from);
    if (scope) return await this.#inside(scope, to, base, commit, how, ctx);
    const opened = await opener.open(from, ctx, true);
    if ("missing" in opened) return { status: "ended" };
    if (opened.sid !== from) {
      // rotated before this request: that new id is kept
      opened.release();
      return await this.#requests.commit(opened.sid, base, commit, ctx);
    }
    try {
      commit = await this.#requests.writable(base, commit);
      const { record: before } = opened;
      const next = await this.#next(before, base, commit, how, from);
      const version = await this.#move({ from, to, next, before, how, ctx });
      if (version === undefined) return { status: "ended" };
      return { status: "done", sid: to, record: { ...next, version } };
    } finally {
      opened.release();
    }
  }

  async #next(
    current: StoredRecord,
    base: StoredRecord,
    commit: SessionWrite,
    how: Rotation,
    from: string,
  ): Promise<SessionRecord> {
    const { records } = this.#deps;
    const data = await this.#requests.merged(from, base, commit, current);
    return bound(records.afterRequest(current, data, commit), how);
  }

  /** Rotates a session from inside a handler that holds it. */
  async #inside(
    scope: TransactionScope,
    to: string,
    base: StoredRecord,
    commit: SessionWrite,
    how: Rotation,
    ctx: unknown,
  ): Promise<CommitOutcome> {
    const { records, locks } = this.#deps;
    const { top } = scope;
    const { held } = top;
    if (scope.result === null) return { status: "ended" };
    scope.apply(patchOf(base, commit));
    // the handler still runs: its own changes are written at its end
    const { record: before } = held;
    const next = bound(records.afterRequest(before, before.data, commit), how);
    let opened: OpenResult | undefined;
    const version = await this.#move({
      from: held.sid,
      to,
      next,
      before,
      how,
      ctx,
      written: async () => {
        // no other caller has the new id yet
        opened = await locks.open(to, ctx);
      },
    });
    if (version === undefined || !opened || "missing" in opened) {
      return { status: "ended" };
    }
    held.release();
    top.held = opened;
    // with the data and the version of the base the next patch is merged, not written as it is
    const { data, version: baseVersion } = base;
    return {
      status: "done",
      sid: to,
      record: { ...next, data, version: baseVersion },
    };
  }

  /** @returns the version under the new id, or `undefined` when the session ended */
  #move(move: Move): Promise<Version | undefined> {
    const { store, locks, termination, observer } = this.#deps;
    const { from, to, next, before, how, ctx } = move;
    return termination.duringRotation(
      from,
      () => this.#moveRecord(move),
      async (version, ended) => {
        // a termination that began before the rotation prevails
        if (version === undefined || ended) {
          store.tombstones.add(to);
          await store.destroy(to, ctx);
          return undefined;
        }
        observer.rotated(from, to, next, before, how.sockets);
        locks.revoke(from, "rotated");
        return version;
      },
    );
  }

  async #moveRecord(
    { from, to, next, ctx, written }: Move,
  ): Promise<Version | undefined> {
    const { store } = this.#deps;
    const version = await store.call(
      "write",
      (records) => records.write(to, next, null, ctx),
    );
    if (version === undefined) {
      throw new SessionStoreError(
        "Cannot regenerate the session as genid returned an id that is in use",
      );
    }
    await written?.();
    const existed = await store.destroy(from, ctx, { movedTo: to });
    return existed ? version : undefined;
  }
}

function bound(record: SessionRecord, how: Rotation): SessionRecord {
  return how.clientId === undefined
    ? record
    // settled from the start: the former client may still send the session cookie
    : { ...record, clientId: how.clientId, settled: true };
}
