/**
 * Writes of requests: a new session, or a patch against the one that was
 * loaded.
 *
 * @module
 */
import { SessionConflictError, SessionStoreError } from "../api/errors.ts";
import type {
  Awaitable,
  BeginResult,
  SessionRecord,
  StoredRecord,
} from "../api/store.ts";
import { waitAtMost } from "../base/async.ts";
import { generateUid } from "../base/ids.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";
import type { TransactionDeps } from "./deps.ts";
import { MAX_TRIES, unstableVersionError } from "./opener.ts";
import { changeOf, patchOf } from "./record_builder.ts";
import type { RequestOrigin } from "./request_origin.ts";
import type { SessionMove } from "./session_move.ts";
import type { TransactionScope } from "./scope.ts";
import type { HeldSession } from "./session_lock.ts";
import type { SocketRotation, UserChange } from "./session_observer.ts";

/** How long a request with a rotated or replaced id begins no session, in ms. */
const RECENT_MS = 10_000;

/** The length of a client id: 144 random bits. */
export const CLIENT_ID_LENGTH = 24;

/** Result of a write. */
export type CommitOutcome =
  | {
    readonly status: "done";
    readonly sid: string;
    readonly record: StoredRecord;
    /** Set where this write has given the session its new id. */
    readonly rotated?: SocketRotation;
  }
  /** The session has ended; `left`: it was rotated, and the request did not follow. */
  | { readonly status: "ended"; readonly left?: boolean };

/** Commits what requests changed. */
export class RequestCommits {
  readonly #deps: TransactionDeps;
  readonly #move: SessionMove;
  /** The latest creation in progress, by client id. */
  readonly #creating = new Map<string, Promise<StoredRecord>>();

  constructor(deps: TransactionDeps, move: SessionMove) {
    this.#deps = deps;
    this.#move = move;
  }

  /**
   * Creates a session under a fresh id. A client has one session: of those
   * that are created at once the one stands whose request arrived last, and
   * the others end as `replaced`.
   *
   * @throws {SessionConflictError} when a later request has given the client a
   * session, or the id of the request was rotated or replaced recently
   * @throws {SessionStoreError} when the id is taken
   */
  async create(
    sid: string,
    commit: SessionWrite,
    clientId: string,
    request: RequestOrigin,
    ctx: unknown,
  ): Promise<StoredRecord> {
    const { guard, options } = this.#deps;
    const data = guard ? await guard.writable(commit.data) : commit.data;
    const written = { ...commit, data };
    const create = () => this.#limited(sid, written, clientId, request, ctx);
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

  async #limited(
    sid: string,
    commit: SessionWrite,
    clientId: string,
    request: RequestOrigin,
    ctx: unknown,
  ): Promise<StoredRecord> {
    const { lookup, records, users } = this.#deps;
    const record = records.created(commit, clientId, request);
    const { user } = record;
    if (clientId !== request.clientId) await this.assertLatest(request, ctx);
    const replaces = await this.#replaceable(user, request);
    const hidden = () => this.#hidden(sid, record, replaces, request, ctx);
    if (!users.limits || user === undefined) return await hidden();
    const own = await lookup.ofClient(clientId, ctx);
    const replaced = own?.record.user === user ? [own.sid] : [];
    return await users.withinLimit(user, replaced, hidden);
  }

  /**
   * Checks a request whose session begins later, or under a new client id: the
   * store compares times of arrival at the begin, under its client id.
   *
   * @throws {SessionConflictError} when a later request has given it a session
   */
  async assertLatest(
    { clientId, arrived }: RequestOrigin,
    ctx: unknown,
  ): Promise<void> {
    const own = await this.#deps.lookup.ofClient(clientId, ctx);
    if (own && (own.record.arrived ?? 0) > arrived) throw refusedBegin();
  }

  /**
   * The sessions that a new one may replace; `undefined` for any.
   *
   * @throws {SessionConflictError} for a request that begins no session
   */
  async #replaceable(
    user: string | undefined,
    { receivedSid, arrived }: RequestOrigin,
  ): Promise<readonly string[] | undefined> {
    const { lookup, users } = this.#deps;
    const received = receivedSid === undefined ? [] : [receivedSid];
    const strict = users.reconnects ? received : undefined;
    if (receivedSid === undefined) return strict;
    const former = await lookup.former(receivedSid);
    if (!former || former.at <= arrived - RECENT_MS) return strict;
    // a login that is sent twice, or again after a lost response, counts
    if (user === undefined) throw refusedBegin();
    return received;
  }

  /** Hides the new session from reads until `started` was reported. */
  async #hidden(
    sid: string,
    record: SessionRecord,
    replaces: readonly string[] | undefined,
    request: RequestOrigin,
    ctx: unknown,
  ): Promise<StoredRecord> {
    const { tombstones } = this.#deps.store;
    tombstones.writeStarted(sid);
    tombstones.add(sid);
    let created = false;
    try {
      const stored = await this.#begin(sid, record, replaces, request, ctx);
      created = true;
      return stored;
    } finally {
      tombstones.writeSettled(sid);
      // the id may belong to another, live session
      if (!created) tombstones.clear(sid);
    }
  }

  async #begin(
    sid: string,
    record: SessionRecord,
    replaces: readonly string[] | undefined,
    request: RequestOrigin,
    ctx: unknown,
  ): Promise<StoredRecord> {
    const { lookup, observer, undo } = this.#deps;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const sending = this.#send(sid, record, replaces, ctx);
      // reported in the same turn where the store answers at once: another write may evict it
      const begun = sending instanceof Promise ? await sending : sending;
      if (begun.status === "taken") {
        throw new SessionStoreError(
          "Cannot begin a session as genid returned an id that is in use",
        );
      }
      if (begun.status === "superseded") throw refusedBegin();
      if (begun.status === "occupied") {
        const other = await lookup.ofClient(record.clientId!, ctx);
        const isOwn = record.user !== undefined &&
          other?.record.user === record.user;
        // a client id alone ends no session: only the same user's is replaced
        if (other && isOwn) replaces = [...replaces ?? [], other.sid];
        else record = { ...record, clientId: generateUid(CLIENT_ID_LENGTH) };
        continue;
      }
      const { before, version } = begun;
      try {
        if (before !== undefined) await this.#replace(before, record, ctx);
      } catch (error) {
        // its beginning is not reported: it must not exist
        undo.start(sid, ctx);
        throw error;
      }
      const userChange = changeOf({ from: undefined, to: record.user });
      observer.started(sid, record, "created", { request, userChange });
      if (before !== undefined) await this.#confirm(sid, ctx);
      return { ...record, version };
    }
    throw unstableVersionError();
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

  #send(
    sid: string,
    record: SessionRecord,
    replaces: readonly string[] | undefined,
    ctx: unknown,
  ): Awaitable<BeginResult> {
    const { store, undo } = this.#deps;
    const options = replaces === undefined ? {} : { replaces };
    let sent: Awaitable<BeginResult>;
    const answer = store.call(
      "write",
      (records) => sent = records.begin(sid, record, options, ctx),
    );
    if (!(answer instanceof Promise)) return answer;
    return answer.catch((error) => {
      // the store may have applied the write, or may still do so
      Promise.resolve(sent).then(({ status }) => status === "begun", () => true)
        .then((applied) => applied && undo.start(sid, ctx));
      throw error;
    });
  }

  /** Ends the session that the client had. */
  async #replace(
    sid: string,
    { clientId }: SessionRecord,
    ctx: unknown,
  ): Promise<void> {
    const { lookup, termination } = this.#deps;
    const found = await lookup.boundTo(sid, clientId!, ctx);
    if (!found) return;
    const isMeant = (moved: SessionRecord) => moved.clientId === clientId;
    const { record } = found;
    await termination.end(found.sid, "replaced", { record, ctx, isMeant });
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
    if (scope) return this.#commitInside(scope, base, commit);
    if (guard) commit = await this.writable(base, commit);
    const users = records.usersOf(base.data, commit.data);
    if (!changeOf(users)) {
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
    const former = await this.#deps.lookup.former(sid);
    return { status: "ended", left: former?.to !== undefined };
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
    record: StoredRecord,
    before: SessionRecord,
  ): CommitOutcome {
    this.#deps.observer.changed(sid, record, before);
    return { status: "done", sid, record };
  }
}

/** The error for a session that must not take the place of a later one. */
function refusedBegin(): SessionConflictError {
  return new SessionConflictError([]);
}
