/**
 * A new id for a session: the old one is dead, and who waits for it goes on
 * under the new one.
 *
 * @module
 */
import { patchOf } from "./record_builder.ts";
import { SessionStoreError } from "../api/errors.ts";
import type {
  CommitOutcome,
  RequestCommitDeps,
  RequestCommits,
} from "./request_commit.ts";
import type { TransactionScope } from "./scope.ts";
import type { SessionRecord, StoredRecord, Version } from "../api/store.ts";
import type { OpenResult } from "./session_lock.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";

/** How a session is given a new id. */
export interface Rotation {
  /** What becomes of the client's sockets. */
  readonly sockets: "follow" | "leave";
  /** The client to bind the session to, where it is another one from now on. */
  readonly clientId: string | undefined;
}

/** What rotations work with. */
export interface RotationDeps extends RequestCommitDeps {
  rotated(
    from: string,
    to: string,
    record: SessionRecord,
    before: SessionRecord,
    sockets: "follow" | "leave",
  ): void;
}

/** See the module's text. */
export class SessionRotation {
  readonly #parts: RotationDeps;
  readonly #requests: RequestCommits;

  constructor(parts: RotationDeps, requests: RequestCommits) {
    this.#parts = parts;
    this.#requests = requests;
  }

  /**
   * Gives a session a new id, waiting for its turn.
   *
   * @param base what the request had loaded
   * @param commit what it wants to have written
   */
  async rotate(
    from: string,
    to: string,
    base: StoredRecord,
    commit: SessionWrite,
    how: Rotation,
    ctx: unknown,
  ): Promise<CommitOutcome> {
    const { opener } = this.#parts;
    const scope = opener.scopeOf(from);
    if (scope) return await this.#inside(scope, to, base, commit, how, ctx);
    const opened = await opener.open(from, ctx, true);
    if ("missing" in opened) return { status: "ended" };
    if (opened.sid !== from) {
      // somebody else regenerated it first: there is one new id, theirs
      opened.release();
      return await this.#requests.commit(opened.sid, base, commit, ctx);
    }
    try {
      commit = await this.#requests.writable(base, commit);
      const next = await this.#next(opened.record, base, commit, how, from);
      const version = await this.#move(from, to, next, opened.record, how, ctx);
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
    const { editor } = this.#parts;
    const data = await this.#requests.merged(from, base, commit, current);
    return renamed(editor.afterRequest(current, data, commit), how);
  }

  /** In a handler of the same session. */
  async #inside(
    scope: TransactionScope,
    to: string,
    base: StoredRecord,
    commit: SessionWrite,
    how: Rotation,
    ctx: unknown,
  ): Promise<CommitOutcome> {
    const { editor, door } = this.#parts;
    const { top } = scope;
    const { held } = top;
    if (scope.result === null) return { status: "ended" };
    scope.apply(patchOf(base, commit));
    // the handler is not over: what it has changed so far is not written yet
    const { record } = held;
    const next = renamed(editor.afterRequest(record, record.data, commit), how);
    let opened: OpenResult | undefined;
    const version = await this.#move(
      held.sid,
      to,
      next,
      record,
      how,
      ctx,
      async () => {
        // while nobody else knows the new id
        opened = await door.open(to, ctx);
      },
    );
    if (version === undefined || !opened || "missing" in opened) {
      return { status: "ended" };
    }
    held.release();
    top.held = opened;
    // the data and the version of the base: the next patch is merged, not written as it is
    const { data, version: seen } = base;
    return {
      status: "done",
      sid: to,
      record: { ...next, data, version: seen },
    };
  }

  /** @returns the version under the new id, or `undefined` when the session ended meanwhile */
  #move(
    from: string,
    to: string,
    next: SessionRecord,
    before: SessionRecord,
    how: Rotation,
    ctx: unknown,
    written?: () => Promise<void>,
  ): Promise<Version | undefined> {
    const { door, ending, rotated } = this.#parts;
    const move = () => this.#moveRecord(from, to, next, ctx, written);
    return ending.duringRotation(from, move, async (version, ended) => {
      // an end that was under way when this began is the last word
      if (version === undefined || ended) {
        // nobody has heard of the new id
        door.tombstones.add(to);
        await door.call(
          "destroy",
          (records) => records.destroy(to, undefined, ctx),
        );
        return undefined;
      }
      rotated(from, to, next, before, how.sockets);
      door.revoke(from, "rotated");
      return version;
    });
  }

  async #moveRecord(
    from: string,
    to: string,
    next: SessionRecord,
    ctx: unknown,
    written?: () => Promise<void>,
  ): Promise<Version | undefined> {
    const { door } = this.#parts;
    const version = await door.call(
      "write",
      (records) => records.write(to, next, null, ctx),
    );
    if (version === undefined) {
      throw new SessionStoreError(
        "Cannot regenerate the session as genid returned an id that is in use",
      );
    }
    await written?.();
    const existed = await door.call(
      "destroy",
      (records) => records.destroy(from, { movedTo: to }, ctx),
    );
    return existed ? version : undefined;
  }
}

function renamed(record: SessionRecord, how: Rotation): SessionRecord {
  return how.clientId === undefined
    ? record
    // at once for good: the client that was left may still send its cookie
    : { ...record, clientId: how.clientId, settled: true };
}
