/**
 * The store that koa-session is handed, which keeps what a request knows of
 * its session in step with what is stored.
 *
 * @module
 */
import createSession from "koa-session";
import type { KoaApplication } from "../api/koa.ts";
import type { ResolvedOptions } from "../api/options.ts";
import {
  type Context,
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
import type { SessionValidity } from "../identity/client_binding.ts";

/** koa-session's middleware. */
export type KoaSession = (
  ctx: Context,
  next: () => Promise<void>,
) => Promise<void>;

const ENDED: CommitOutcome = { status: "ended" };

/** See the module's text. */
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
   * @param valid what koa-session asks about a session
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
      return createSession({ ...this.#options.native, ...own } as never, app);
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
      if (record || state.ended) {
        return await this.#rotate(ctx, state, record, sid, commit);
      }
    }
    if (!own) return await this.#create(ctx, state, sid, commit);
    if (record && !state.ended) {
      const committed = await this.#transactions.commit(
        state.sid!,
        record,
        commit,
        ctx,
      );
      return this.#settle(ctx, state, committed, state.sid!, commit);
    }
    if (!state.endedHere) return this.#settle(ctx, state, ENDED, sid, commit);
    // ended by this request, and assigned anew: koa-session goes on with the dead id
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
    state.ended = state.endedHere = state.cookieSuppressed = false;
    this.#nowClient(ctx, state, clientId);
  }

  async #rotate(
    ctx: Context,
    state: RequestState,
    base: StoredRecord | undefined,
    to: string,
    commit: SessionWrite,
  ): Promise<void> {
    const { rotation } = state;
    const committed = state.ended || !base
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
      this.#nowClient(ctx, state, rotation.clientId ?? state.clientId);
    }
  }

  /** Takes note of what became of a write to `sid`. */
  #settle(
    ctx: Context,
    state: RequestState,
    committed: CommitOutcome,
    sid: string,
    commit: SessionWrite,
  ): void {
    if (committed.status === "ended") {
      state.ended = state.cookieSuppressed = true;
      state.record = undefined;
      this.#cookies.suppressSession(ctx);
      return;
    }
    const { record } = committed;
    // inside a transaction nothing is stored yet, and the base is the one that was loaded
    if (record.version !== state.record?.version) {
      syncSession(ctx, commit.data, record.data);
    }
    state.record = record;
    state.sid = committed.sid;
    // somebody else gave it a new id, and the cookie with it
    if (committed.sid !== sid) {
      state.cookieSuppressed = true;
      this.#cookies.suppressSession(ctx);
    }
    setExternalKey(ctx.session, committed.sid);
  }

  #nowClient(ctx: Context, state: RequestState, clientId: string): void {
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
    // koa-session destroys at a logout, when ctx.session is null, and before it regenerates
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
    if (own && !existed && !state.ended) await this.#endMoved(ctx, state);
    state.endedHere ||= own && existed;
    state.ended = true;
    state.record = undefined;
  }

  /** Ends a session that somebody else ended, or gave a new id, while this request was under way. */
  async #endMoved(ctx: Context, state: RequestState): Promise<void> {
    this.#cookies.suppressSession(ctx);
    const to = await this.#transactions.lookup.movedTo(state.sid!);
    if (to !== undefined) await this.#transactions.end(to, "logout", { ctx });
  }
}
