/**
 * The store that koa-session is given: it turns koa-session's calls into
 * commits, and keeps the request's state in step with what is stored.
 *
 * @module
 */
import { SessionConflictError } from "../api/errors.ts";
import type { ResolvedOptions } from "../api/options.ts";
import {
  noteStored,
  setExternalKey,
  syncLife,
  syncSession,
} from "./context_session.ts";
import {
  type Context,
  isLive,
  type RequestState,
  serialized,
  STATE,
} from "./request_state.ts";
import { isSameLife } from "../transaction/record_builder.ts";
import type { CommitOutcome } from "../transaction/request_commit.ts";
import { assertSessionNames } from "./context_session.ts";
import { warnOfLost } from "../transaction/lost_values.ts";
import { serializeSession } from "../transaction/scope.ts";
import type { SessionCookies } from "./session_cookies.ts";
import { isAlive, type SessionData, type StoredRecord } from "../api/store.ts";
import { hasOwn } from "../base/own_keys.ts";
import type { Transactions } from "../transaction/transactions.ts";
import { isLogin, stricter } from "../transaction/user_policy.ts";
import {
  fromKoaSession,
  type SessionWrite,
  toKoaSession,
} from "../stores/koa_session_object.ts";

/** koa-session's store. */
export class KoaSessionStore {
  readonly #options: ResolvedOptions;
  readonly #transactions: Transactions;
  readonly #cookies: SessionCookies;

  constructor(
    options: ResolvedOptions,
    transactions: Transactions,
    cookies: SessionCookies,
  ) {
    this.#options = options;
    this.#transactions = transactions;
    this.#cookies = cookies;
  }

  /** The data that koa-session loads for a request. */
  load(ctx: Context, sid: string): SessionData | undefined {
    const state = ctx[STATE]!;
    return state.record && sid === state.sid
      ? toKoaSession(state.record)
      : undefined;
  }

  /** Stores the object that koa-session saves. */
  async save(ctx: Context, sid: string, data: SessionData): Promise<void> {
    const commit = fromKoaSession(data, ctx);
    const before = ctx[STATE]!.record?.data;
    assertSessionNames(ctx, before);
    if (commit.data !== before) warnOfLost(ctx.session ?? data);
    // an object that was assigned may bring its own, which makes any names
    if (ctx.session && hasOwn(ctx.session, "toJSON")) {
      serializeSession(JSON.parse(commit.data));
    }
    await serialized(
      ctx[STATE]!,
      (state) => this.#save(ctx, state, sid, commit),
    );
  }

  /** Ends the session, or begins its rotation: koa-session destroys before it regenerates. */
  destroy(ctx: Context, sid: string): Promise<void> {
    return serialized(
      ctx[STATE]!,
      (state) => this.#destroy(ctx, state, sid),
    );
  }

  async #save(
    ctx: Context,
    state: RequestState,
    sid: string,
    commit: SessionWrite,
  ): Promise<void> {
    const { record } = state;
    const own = sid === state.koaSid;
    if (!own && state.regenerations > 0) {
      state.regenerations--;
      if (record || !isLive(state)) {
        return await this.#rotate(ctx, state, record, sid, commit);
      }
      if (this.#options.user) {
        await this.#transactions.assertLatest(state, ctx);
        return this.#defer(state, sid);
      }
    }
    const { unbegun } = state;
    if (unbegun?.left !== undefined) {
      // the session that was rotated away goes on elsewhere: only a login begins another
      const { records } = this.#transactions;
      if (!isLogin(records.usersOf(unbegun.left, commit.data))) return;
    }
    if (!own || unbegun) {
      // the attempt that failed is undone: its id is spent
      return sid === state.failedSid
        ? await this.#createAnew(ctx, state, commit, sid)
        : await this.#create(ctx, state, sid, commit);
    }
    if (record && isLive(state)) {
      return await this.#commit(ctx, state, record, commit);
    }
    if (state.phase !== "endedHere") return this.#settleEnded(ctx, state);
    // ended by this request, then assigned again: koa-session still uses the dead id
    await this.#createAnew(ctx, state, commit);
  }

  /**
   * Leaves the begin of a new session that is regenerated to the next write: a
   * login by passport regenerates the session first, and sets its user then. A
   * begin is judged by its user, and there is one new id.
   */
  #defer(state: RequestState, sid: string, left?: string): void {
    // a begin makes all sockets of the client reconnect, which is stricter than "leave"
    const clientId = this.#transactions.reconnects
      ? undefined
      : state.rotation.clientId ?? state.unbegun?.clientId;
    state.koaSid = sid;
    state.unbegun = { clientId, ...left !== undefined && { left } };
    state.cookieSuppressed = true;
  }

  /** Creates a session in place of the one that koa-session still uses the id of. */
  async #createAnew(
    ctx: Context,
    state: RequestState,
    commit: SessionWrite,
    koaSid: string | undefined = state.koaSid,
  ): Promise<void> {
    await this.#create(ctx, state, state.newSid(), commit);
    if (!state.record) return;
    state.koaSid = koaSid;
    setExternalKey(ctx.session, state.sid!);
  }

  async #create(
    ctx: Context,
    state: RequestState,
    sid: string,
    commit: SessionWrite,
  ): Promise<void> {
    // where a begin makes the client's sockets reconnect, its id opens nothing
    const given = this.#transactions.reconnects
      ? undefined
      : state.rotation.clientId ?? state.unbegun?.clientId;
    const clientId = given ?? state.clientId;
    try {
      state.record = await this.#transactions.create(
        sid,
        commit,
        clientId,
        state,
        ctx,
      );
    } catch (error) {
      state.failedSid ??= sid;
      return this.#refused(ctx, state, sid, error);
    }
    noteStored(ctx, state);
    syncSession(ctx, commit.data, state.record.data);
    state.sid = state.koaSid = sid;
    state.phase = "live";
    state.unbegun = undefined;
    state.cookieSuppressed = false;
    this.#setClient(ctx, state, state.record.clientId ?? clientId);
  }

  /** A session that must not begin: an error for the handler, dropped at the end of the request. */
  #refused(
    ctx: Context,
    state: RequestState,
    sid: string,
    error: unknown,
  ): void {
    const isRefusal = error instanceof SessionConflictError &&
      error.keys.length === 0;
    if (!isRefusal || !state.handled || this.#options.onConflict === "reject") {
      throw error;
    }
    this.#transactions.reportRefusal(state.receivedSid ?? sid);
    this.#settleEnded(ctx, state);
  }

  async #commit(
    ctx: Context,
    state: RequestState,
    base: StoredRecord,
    commit: SessionWrite,
  ): Promise<void> {
    const sid = state.sid!;
    // stored by this request already, and not changed since
    if (
      state.stored && commit.data === base.data && isSameLife(commit, base)
    ) return;
    const committed = await this.#transactions.commit(
      sid,
      base,
      commit,
      state,
      ctx,
    );
    await this.#settle(ctx, state, committed, sid, commit, base);
  }

  async #rotate(
    ctx: Context,
    state: RequestState,
    base: StoredRecord | undefined,
    to: string,
    commit: SessionWrite,
  ): Promise<void> {
    const { rotation, rotated, sid } = state;
    state.koaSid = to;
    if (!isLive(state) || !base) return this.#settleEnded(ctx, state);
    // in one request there is one new id, unless a stricter rotation is asked for
    if (rotated && stricter(rotated, rotation.sockets) === rotated) {
      return await this.#commit(ctx, state, base, commit);
    }
    const committed = await this.#transactions.rotate(
      sid!,
      to,
      base,
      commit,
      rotation,
      state,
      ctx,
    );
    if (committed.status === "ended" && committed.left && this.#options.user) {
      return this.#rotateLeft(ctx, state, to, base);
    }
    await this.#settle(ctx, state, committed, to, commit, base);
    if (committed.status === "done" && committed.sid === to) {
      this.#setClient(ctx, state, rotation.clientId ?? state.clientId);
    }
  }

  /** The session was rotated by a request that this one does not follow: a user that it sets begins one. */
  #rotateLeft(
    ctx: Context,
    state: RequestState,
    to: string,
    { data }: StoredRecord,
  ): void {
    const { sid } = state;
    state.record = undefined;
    state.atEnd(() => {
      if (!state.unbegun) return;
      this.#transactions.reportRefusal(sid!);
      this.#settleEnded(ctx, state);
    });
    this.#defer(state, to, data);
  }

  /** Applies the outcome of a write to `sid`. */
  async #settle(
    ctx: Context,
    state: RequestState,
    committed: CommitOutcome,
    sid: string,
    commit: SessionWrite,
    base: StoredRecord,
  ): Promise<void> {
    if (committed.status === "ended") {
      if (!committed.left) {
        // a request that took longer than `maxAge`: what it changed is not stored
        if (!isAlive(base)) this.#transactions.reportRefusal(sid);
        return this.#settleEnded(ctx, state);
      }
      // a login whose session was rotated by a login sent before it counts
      const users = this.#transactions.records.usersOf(base.data, commit.data);
      if (isLogin(users)) {
        return await this.#createAnew(ctx, state, commit);
      }
      this.#transactions.reportRefusal(sid);
      return this.#settleEnded(ctx, state);
    }
    const { record, rotated, joined } = committed;
    // inside a transaction nothing is stored yet: the base is the record that was loaded
    if (record.version !== state.record?.version) {
      noteStored(ctx, state);
      const shown = state.record === base ? undefined : state.record;
      syncSession(ctx, commit.data, record.data, shown?.data);
    }
    syncLife(ctx, joined ?? record, commit);
    state.record = record;
    state.sid = committed.sid;
    if (rotated) state.noteRotation(rotated);
    // rotated by another request, whose response has the cookie
    else if (committed.sid !== sid) {
      state.cookieSuppressed = true;
      this.#cookies.suppressSession(ctx);
    }
    setExternalKey(ctx.session, committed.sid);
  }

  #settleEnded(ctx: Context, state: RequestState): void {
    if (isLive(state)) state.phase = "ended";
    state.cookieSuppressed = true;
    state.record = state.unbegun = undefined;
    this.#cookies.suppressSession(ctx);
  }

  #setClient(ctx: Context, state: RequestState, clientId: string): void {
    if (clientId === state.clientId) return;
    state.clientId = clientId;
    this.#cookies.sendClient(ctx, clientId);
  }

  async #destroy(
    ctx: Context,
    state: RequestState,
    sid: string,
  ): Promise<void> {
    if (ctx.headerSent) this.#cookies.warnHeadersSent(ctx);
    // koa-session destroys at a logout, with ctx.session null, and before a regeneration
    if (ctx.session) {
      state.regenerations++;
      return;
    }
    const { record } = state;
    // a regeneration that was not awaited is abandoned
    const own = record !== undefined &&
      (sid === state.koaSid || state.regenerations > 0);
    state.regenerations = 0;
    const options = { ctx, request: state, ...own ? { record } : {} };
    const existed = await this.#transactions.end(
      own ? state.sid! : sid,
      "logout",
      { ...options, follow: "none" },
    );
    if (own && !existed && isLive(state)) {
      this.#cookies.suppressSession(ctx);
      // rotated during this request: ended if the request may follow it
      await this.#transactions.end(state.sid!, "logout", {
        ...options,
        follow: "followed",
      });
    }
    if (own && existed) state.phase = "endedHere";
    else if (isLive(state)) state.phase = "ended";
    state.record = undefined;
  }
}
