/**
 * Creating sessions: at the first write of a request without one.
 *
 * @module
 */
import { SessionConflictError, SessionStoreError } from "../api/errors.ts";
import {
  type Awaitable,
  type BeginResult,
  isAlive,
  type SessionRecord,
  type StoredRecord,
} from "../api/store.ts";
import { waitAtMost } from "../base/async.ts";
import { generateUid } from "../base/ids.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";
import type { TransactionDeps } from "./deps.ts";
import { MAX_TRIES, unstableVersionError } from "./opener.ts";
import { changeOf } from "./record_builder.ts";
import type { RequestOrigin } from "./request_origin.ts";

/** How long a request with a rotated or replaced id begins no session, in ms. */
const RECENT_MS = 10_000;

/** The length of a client id: 144 random bits. */
export const CLIENT_ID_LENGTH = 24;

/** Creates sessions. */
export class SessionCreation {
  readonly #deps: TransactionDeps;
  /** The latest creation in progress, by client id. */
  readonly #creating = new Map<string, Promise<StoredRecord>>();
  /** Sessions that are being created, by id, and whether a later request has replaced them already. */
  readonly #unreported = new Map<string, { isReplaced: boolean }>();

  constructor(deps: TransactionDeps) {
    this.#deps = deps;
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
    this.#unreported.set(sid, { isReplaced: false });
    let created = false;
    try {
      const stored = await this.#begin(sid, record, replaces, request, ctx);
      created = true;
      return stored;
    } finally {
      this.#unreported.delete(sid);
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
      if (this.#unreported.get(sid)?.isReplaced) throw refusedBegin();
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
    const { lookup, store, termination } = this.#deps;
    // from the store itself: one that is being created in this process is hidden from other reads
    const stored = await store.call(
      "read",
      (records) => records.read(sid, ctx),
    );
    const found = isAlive(stored) && stored.clientId === clientId
      ? { sid, record: stored }
      : await lookup.boundTo(sid, clientId!, ctx);
    if (!found) return;
    const isMeant = (moved: SessionRecord) => moved.clientId === clientId;
    const { record } = found;
    const unreported = this.#unreported.get(found.sid);
    if (unreported) unreported.isReplaced = true;
    await termination.end(found.sid, "replaced", { record, ctx, isMeant });
  }
}

/** The error for a session that must not take the place of a later one. */
function refusedBegin(): SessionConflictError {
  return new SessionConflictError([]);
}
