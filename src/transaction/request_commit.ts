/**
 * What requests want to have written: a new session, or a patch against the
 * one they loaded.
 *
 * @module
 */
import type { SessionGate } from "./session_gate.ts";
import { patchOf, type RecordBuilder } from "./record_builder.ts";
import type { SessionTermination } from "./termination.ts";
import { SessionStoreError } from "../api/errors.ts";
import { waitAtMost } from "../base/async.ts";
import type { SessionLookup } from "./lookup.ts";
import type { SchemaGuard } from "./schema_guard.ts";
import {
  MAX_TRIES,
  type SessionOpener,
  unstableVersionError,
} from "./opener.ts";
import type { TransactionScope } from "./scope.ts";
import type {
  Awaitable,
  BeginResult,
  SessionRecord,
  StoredRecord,
  Version,
} from "../api/store.ts";
import type { RecordStore } from "../stores/open_store.ts";
import type { HeldSession } from "./session_lock.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";

/** What became of a write. */
export type CommitOutcome =
  | {
    readonly status: "done";
    readonly sid: string;
    readonly record: StoredRecord;
  }
  | { readonly status: "ended" };

/** What the writers of requests work with. */
export interface RequestCommitDeps {
  readonly door: SessionGate;
  readonly opener: SessionOpener;
  readonly lookup: SessionLookup;
  readonly editor: RecordBuilder;
  readonly ending: SessionTermination;
  readonly guard: SchemaGuard | undefined;
  readonly shared: boolean;
  readonly absoluteMaxAge: number | undefined;
  readonly storeTimeout: number;
  created(sid: string, record: SessionRecord): void;
  written(sid: string, record: SessionRecord, before: SessionRecord): void;
}

/** See the module's text. */
export class RequestCommits {
  readonly #parts: RequestCommitDeps;
  /** The session that is being begun for a client, the last one first. */
  readonly #beginning = new Map<string, Promise<StoredRecord>>();

  constructor(parts: RequestCommitDeps) {
    this.#parts = parts;
  }

  /**
   * Begins a session under a fresh id. A client has one session: of those that
   * are begun at once the later one stands, and the others end as `replaced`.
   *
   * @throws {SessionStoreError} when the id is taken
   */
  async create(
    sid: string,
    commit: SessionWrite,
    clientId: string,
    ctx: unknown,
  ): Promise<StoredRecord> {
    const { guard, storeTimeout } = this.#parts;
    const data = guard ? await guard.writable(commit.data) : commit.data;
    const begin = () => this.#unseen(sid, { ...commit, data }, clientId, ctx);
    const earlier = this.#beginning.get(clientId);
    // on a store that is away, all of them are to learn it in time
    const beginning = earlier
      ? waitAtMost(earlier.catch(() => {}), storeTimeout).then(begin)
      : begin();
    this.#beginning.set(clientId, beginning);
    try {
      return await beginning;
    } finally {
      if (this.#beginning.get(clientId) === beginning) {
        this.#beginning.delete(clientId);
      }
    }
  }

  /** Nobody meets the session before it was told of. */
  async #unseen(
    sid: string,
    commit: SessionWrite,
    clientId: string,
    ctx: unknown,
  ): Promise<StoredRecord> {
    const { tombstones: graves } = this.#parts.door;
    graves.writeStarted(sid);
    graves.add(sid);
    let begun = false;
    try {
      const record = await this.#begin(sid, commit, clientId, ctx);
      begun = true;
      return record;
    } finally {
      graves.writeSettled(sid);
      // the id may be another's, who lives
      if (!begun) graves.clear(sid);
    }
  }

  async #begin(
    sid: string,
    commit: SessionWrite,
    clientId: string,
    ctx: unknown,
  ): Promise<StoredRecord> {
    const { absoluteMaxAge, editor, ending, shared } = this.#parts;
    const { data } = commit;
    const now = Date.now();
    const absoluteEnd = absoluteMaxAge === undefined
      ? undefined
      : now + absoluteMaxAge;
    const record: SessionRecord = {
      data,
      maxAge: commit.maxAge,
      expires: Math.min(now + commit.maxAge, absoluteEnd ?? Infinity),
      absoluteEnd,
      cookie: commit.cookie,
      clientId,
      settled: false,
      user: editor.userOf(data),
    };
    const asking = this.#ask(sid, record, ctx);
    // told of at once where it is there at once: it may be evicted by the next
    const begun = asking instanceof Promise ? await asking : asking;
    if (!begun) {
      throw new SessionStoreError(
        "Cannot begin a session as genid returned an id that is in use",
      );
    }
    const { before } = begun;
    try {
      if (before !== undefined) await this.#replace(before, clientId, ctx);
    } catch (error) {
      // nobody is told of a session whose beginning failed
      await ending.discard(sid, ctx);
      throw error;
    }
    this.#parts.created(sid, record);
    if (shared && before !== undefined) await this.#lookAgain(sid, ctx);
    return { ...record, version: begun.version };
  }

  /** Another node may have replaced a session as it began, and told us before we had met it. */
  async #lookAgain(sid: string, ctx: unknown): Promise<void> {
    try {
      await this.#parts.lookup.find(sid, ctx);
    } catch {
      // it has begun all the same, and whoever uses it next looks again
    }
  }

  #ask(
    sid: string,
    record: SessionRecord,
    ctx: unknown,
  ): Awaitable<BeginResult | undefined> {
    const { door, ending } = this.#parts;
    let landing: Awaitable<BeginResult | undefined>;
    const asked = door.call(
      "write",
      (records) => landing = records.begin(sid, record, ctx),
    );
    if (!(asked instanceof Promise)) return asked;
    return asked.catch((error) => {
      // nobody waits for it any more, and it may be done after all
      Promise.resolve(landing).then(
        (late) => late && ending.discard(sid, ctx),
        () => {},
      );
      throw error;
    });
  }

  /** Ends the session that the client had. */
  async #replace(
    sid: string,
    clientId: string,
    ctx: unknown,
  ): Promise<void> {
    const { lookup, ending } = this.#parts;
    const record = await lookup.boundTo(sid, clientId, ctx);
    if (record) await ending.end(sid, "replaced", { record, ctx });
  }

  /**
   * Writes what a request changed, as a patch against what it had loaded. It
   * waits for a transaction on the session, and never overlaps one.
   */
  async commit(
    sid: string,
    base: StoredRecord,
    commit: SessionWrite,
    ctx: unknown,
  ): Promise<CommitOutcome> {
    const scope = this.#parts.opener.scopeOf(sid);
    if (scope) return this.#commitInside(scope, base, commit);
    if (this.#parts.guard) commit = await this.writable(base, commit);
    const record = this.#parts.editor.afterRequest(base, commit.data, commit);
    const version = await this.#writeUnchanged(sid, record, base, ctx);
    if (version !== undefined) return this.#done(sid, record, base, version);
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const opened = await this.#parts.opener.open(sid, ctx, true);
      if ("missing" in opened) return { status: "ended" };
      const outcome = await this.#commitHeld(opened, base, commit);
      if (outcome) return outcome;
    }
    throw unstableVersionError();
  }

  /** Writes if nobody did since the request loaded the session: then nothing has to be read again. */
  #writeUnchanged(
    sid: string,
    record: SessionRecord,
    base: StoredRecord,
    ctx: unknown,
  ): Awaitable<Version | undefined> {
    const { door, shared } = this.#parts;
    const write = (records: RecordStore) =>
      records.write(sid, record, base.version, ctx);
    // a shared store refuses by itself what somebody holds
    return shared
      ? door.call("write", write)
      : door.runExclusive(sid, ctx, "write", write);
  }

  async #commitHeld(
    held: HeldSession,
    base: StoredRecord,
    commit: SessionWrite,
  ): Promise<CommitOutcome | undefined> {
    let current = held.record;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      let next: SessionRecord;
      try {
        const merged = this.merged(held.sid, base, commit, current);
        const data = typeof merged === "string" ? merged : await merged;
        next = this.#parts.editor.afterRequest(current, data, commit);
      } catch (error) {
        held.release();
        throw error;
      }
      const closed = await held.close(next, current.version);
      if (closed.status === "done") {
        return this.#done(held.sid, next, current, closed.version);
      }
      // a patch may be tried again: lost turns and endings are seen at the next opening
      if (closed.status !== "changed") return undefined;
      current = closed.record;
    }
    held.release();
    return undefined;
  }

  /** What a request wants to have written, as the schema makes it. */
  async writable(
    base: StoredRecord,
    commit: SessionWrite,
  ): Promise<SessionWrite> {
    const { guard } = this.#parts;
    return guard && commit.data !== base.data
      ? { ...commit, data: await guard.writable(commit.data) }
      : commit;
  }

  /** What a request wants to have written, laid over what is stored now. */
  merged(
    sid: string,
    base: StoredRecord,
    commit: SessionWrite,
    current: StoredRecord,
  ): Awaitable<string> {
    if (current.version === base.version) return commit.data;
    const { editor, guard } = this.#parts;
    const data = editor.merged(sid, base, patchOf(base, commit), current);
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
    // nothing is stored yet, so the base stays: if the handler throws, these changes are pending still
    return { status: "done", sid: held.sid, record: base };
  }

  #done(
    sid: string,
    next: SessionRecord,
    before: SessionRecord,
    version: StoredRecord["version"],
  ): CommitOutcome {
    const record = { ...next, version };
    this.#parts.written(sid, record, before);
    return { status: "done", sid, record };
  }
}
