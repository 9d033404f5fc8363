/**
 * The store that koa-session is given: it turns koa-session's calls into
 * commits, and keeps the request's state in step with what is stored.
 *
 * @module
 */
import type { KoaApplication } from "../api/koa.ts";
import type { ResolvedOptions } from "../api/options.ts";
import { installKoaSession } from "./installation.ts";
import {
  type Context,
  isLive,
  type RequestState,
  serialized,
  setExternalKey,
  STATE,
  syncSession,
} from "./request_state.ts";
import type { CommitOutcome } from "../transaction/request_commit.ts";
import type { SessionCookies } from "./session_cookies.ts";
import type { SessionData, StoredRecord } from "../api/store.ts";
import type { Transactions } from "../transaction/transactions.ts";
import {
  fromKoaSession,
  type SessionWrite,
  toKoaSession,
} from "../stores/koa_session_object.ts";
import type { SessionValidity } from "../identity/validity.ts";

/** koa-session's middleware. */
export type KoaSession = (
  ctx: Context,
  next: () => Promise<void>,
) => Promise<void>;

const ENDED: CommitOutcome = { status: "ended" };

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

  /**
   * koa-session's middleware, on top of this store.
   *
   * @param valid koa-session's option of this name
   * @throws {TypeError} when koa-session refuses an option
   */
  middleware(
    app: KoaApplication,
    valid: SessionValidity["checkOnce"] | undefined,
  ): KoaSession {
    type Call = { readonly ctx: Context };
    const store = {
      get: (sid: string, _maxAge: unknown, { ctx }: Call) =>
        Promise.resolve(this.#load(ctx, sid)),
      set: (
        sid: string,
        data: SessionData,
        _maxAge: unknown,
        { ctx }: Call,
      ) => {
        const commit = fromKoaSession(data, ctx);
        return serialized(
          ctx[STATE]!,
          (state) => this.#save(ctx, state, sid, commit),
        );
      },
      destroy: (sid: string, { ctx }: Call) =>
        serialized(ctx[STATE]!, (state) => this.#destroy(ctx, state, sid)),
    };
    const externalKey = {
      get: (ctx: Context) => ctx[STATE]?.sid ?? "",
      set: (ctx: Context, sid: string) => this.#cookies.sendSession(ctx, sid),
    };
    const own = { store, externalKey, ...valid && { valid } };
    try {
      return installKoaSession(app, { ...this.#options.native, ...own });
    } catch (cause) {
      const { issues } = cause as {
        issues?: { path?: unknown[]; message?: string }[];
      };
      const issue = issues?.[0];
      throw new TypeError(
        `Cannot bridge sessions as koa-session refused the option ${
          issue?.path?.join(".") ?? ""
        }: ${issue?.message ?? (cause as Error).message}`,
        { cause },
      );
    }
  }

  #load(ctx: Context, sid: string): SessionData | undefined {
    const state = ctx[STATE]!;
    return state.record && sid === state.sid
      ? toKoaSession(state.record)
      : undefined;
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
    }
    if (!own) return await this.#create(ctx, state, sid, commit);
    if (record && isLive(state)) {
      const committed = await this.#transactions.commit(
        state.sid!,
        record,
        commit,
        ctx,
      );
      return this.#settle(ctx, state, committed, state.sid!, commit);
    }
    if (state.phase !== "endedHere") {
      return this.#settle(ctx, state, ENDED, sid, commit);
    }
    // ended by this request, then assigned again: koa-session still uses the ended id
    await this.#create(ctx, state, this.#options.genid(ctx as never), commit);
    state.koaSid = sid;
    setExternalKey(ctx.session, state.sid!);
  }

  async #create(
    ctx: Context,
    state: RequestState,
    sid: string,
    commit: SessionWrite,
  ): Promise<void> {
    const clientId = state.rotation.clientId ?? state.clientId;
    state.record = await this.#transactions.create(sid, commit, clientId, ctx);
    syncSession(ctx, commit.data, state.record.data);
    state.sid = state.koaSid = sid;
    state.phase = "live";
    state.cookieSuppressed = false;
    this.#setClient(ctx, state, clientId);
  }

  async #rotate(
    ctx: Context,
    state: RequestState,
    base: StoredRecord | undefined,
    to: string,
    commit: SessionWrite,
  ): Promise<void> {
    const { rotation } = state;
    const committed = !isLive(state) || !base
      ? ENDED
      : await this.#transactions.rotate(
        state.sid!,
        to,
        base,
        commit,
        rotation,
        ctx,
      );
    state.koaSid = to;
    this.#settle(ctx, state, committed, to, commit);
    if (committed.status === "done" && committed.sid === to) {
      this.#setClient(ctx, state, rotation.clientId ?? state.clientId);
    }
  }

  /** Applies the outcome of a write to `sid`. */
  #settle(
    ctx: Context,
    state: RequestState,
    committed: CommitOutcome,
    sid: string,
    commit: SessionWrite,
  ): void {
    if (committed.status === "ended") {
      if (isLive(state)) state.phase = "ended";
      state.cookieSuppressed = true;
      state.record = undefined;
      this.#cookies.suppressSession(ctx);
      return;
    }
    const { record } = committed;
    // inside a transaction nothing is stored yet: the base is the record that was loaded
    if (record.version !== state.record?.version) {
      syncSession(ctx, commit.data, record.data);
    }
    state.record = record;
    state.sid = committed.sid;
    // rotated by another request, whose response has the cookie
    if (committed.sid !== sid) {
      state.cookieSuppressed = true;
      this.#cookies.suppressSession(ctx);
    }
    setExternalKey(ctx.session, committed.sid);
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
    const own = sid === state.koaSid && state.record !== undefined;
    const existed = await this.#transactions.end(
      own ? state.sid! : sid,
      "logout",
      {
        ctx,
        ...own ? { record: state.record! } : {},
      },
    );
    if (own && !existed && isLive(state)) await this.#endRotated(ctx, state);
    if (own && existed) state.phase = "endedHere";
    else if (isLive(state)) state.phase = "ended";
    state.record = undefined;
  }

  /** Ends a session that was ended, or rotated, by another caller during this request. */
  async #endRotated(ctx: Context, state: RequestState): Promise<void> {
    this.#cookies.suppressSession(ctx);
    const to = await this.#transactions.lookup.movedTo(state.sid!);
    if (to !== undefined) await this.#transactions.end(to, "logout", { ctx });
  }
}
