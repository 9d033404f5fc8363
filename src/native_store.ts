/**
 * The store that koa-session is handed, which keeps what a request knows of
 * its session in step with what is stored.
 *
 * @module
 */
import createSession from "koa-session";
import type { Commit } from "./editor.ts";
import type { KoaApplication } from "./koa.ts";
import { fromNative, toNative } from "./native.ts";
import type { ResolvedOptions } from "./options.ts";
import {
  type Context,
  inTurn,
  rename,
  type RequestState,
  showStored,
  STATE,
} from "./request.ts";
import type { Committed } from "./requests.ts";
import type { SessionCookies } from "./session_cookies.ts";
import type { SessionData, StoredRecord } from "./store.ts";
import type { Transactions } from "./transaction.ts";
import type { Validity } from "./validity.ts";

/** koa-session's middleware. */
export type KoaSession = (
  ctx: Context,
  next: () => Promise<void>,
) => Promise<void>;

const ENDED: Committed = { status: "ended" };

/** See the module's text. */
export class NativeStore {
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
    valid: Validity["again"] | undefined,
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
        const commit = fromNative(data, ctx);
        return inTurn(
          ctx[STATE]!,
          (state) => this.#save(ctx, state, sid, commit),
        );
      },
      destroy: (sid: string, { ctx }: Call) =>
        inTurn(ctx[STATE]!, (state) => this.#destroy(ctx, state, sid)),
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
      ? toNative(state.record)
      : undefined;
  }

  async #save(
    ctx: Context,
    state: RequestState,
    sid: string,
    commit: Commit,
  ): Promise<void> {
    const { record } = state;
    const own = sid === state.nativeSid;
    if (!own && state.regenerations > 0) {
      state.regenerations--;
      if (record || state.over) {
        return await this.#rotate(ctx, state, record, sid, commit);
      }
    }
    if (!own) return await this.#create(ctx, state, sid, commit);
    if (record && !state.over) {
      const committed = await this.#transactions.commit(
        state.sid!,
        record,
        commit,
        ctx,
      );
      return this.#settle(ctx, state, committed, state.sid!, commit);
    }
    if (!state.ended) return this.#settle(ctx, state, ENDED, sid, commit);
    // ended by this request, and assigned anew: koa-session goes on with the dead id
    await this.#create(ctx, state, this.#options.genid(ctx as never), commit);
    state.nativeSid = sid;
    rename(ctx.session, state.sid!);
  }

  async #create(
    ctx: Context,
    state: RequestState,
    sid: string,
    commit: Commit,
  ): Promise<void> {
    const clientId = state.rotation.clientId ?? state.clientId;
    state.record = await this.#transactions.create(sid, commit, clientId, ctx);
    showStored(ctx, commit.data, state.record.data);
    state.sid = state.nativeSid = sid;
    state.over = state.ended = state.silent = false;
    this.#nowClient(ctx, state, clientId);
  }

  async #rotate(
    ctx: Context,
    state: RequestState,
    base: StoredRecord | undefined,
    to: string,
    commit: Commit,
  ): Promise<void> {
    const { rotation } = state;
    const committed = state.over || !base
      ? ENDED
      : await this.#transactions.rotate(
        state.sid!,
        to,
        base,
        commit,
        rotation,
        ctx,
      );
    state.nativeSid = to;
    this.#settle(ctx, state, committed, to, commit);
    if (committed.status === "done" && committed.sid === to) {
      this.#nowClient(ctx, state, rotation.clientId ?? state.clientId);
    }
  }

  /** Takes note of what became of a write to `sid`. */
  #settle(
    ctx: Context,
    state: RequestState,
    committed: Committed,
    sid: string,
    commit: Commit,
  ): void {
    if (committed.status === "ended") {
      state.over = state.silent = true;
      state.record = undefined;
      this.#cookies.muteSession(ctx);
      return;
    }
    const { record } = committed;
    // inside a transaction nothing is stored yet, and the base is the one that was loaded
    if (record.version !== state.record?.version) {
      showStored(ctx, commit.data, record.data);
    }
    state.record = record;
    state.sid = committed.sid;
    // somebody else gave it a new id, and the cookie with it
    if (committed.sid !== sid) {
      state.silent = true;
      this.#cookies.muteSession(ctx);
    }
    rename(ctx.session, committed.sid);
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
    if (ctx.headerSent) this.#cookies.tooLate(ctx);
    // koa-session destroys at a logout, when ctx.session is null, and before it regenerates
    if (ctx.session) {
      state.regenerations++;
      return;
    }
    const own = sid === state.nativeSid && state.record !== undefined;
    const existed = await this.#transactions.end(
      own ? state.sid! : sid,
      "logout",
      {
        ctx,
        ...own ? { record: state.record! } : {},
      },
    );
    if (own && !existed && !state.over) await this.#endMoved(ctx, state);
    state.ended ||= own && existed;
    state.over = true;
    state.record = undefined;
  }

  /** Ends a session that somebody else ended, or gave a new id, while this request was under way. */
  async #endMoved(ctx: Context, state: RequestState): Promise<void> {
    this.#cookies.muteSession(ctx);
    const to = await this.#transactions.lookup.movedTo(state.sid!);
    if (to !== undefined) await this.#transactions.end(to, "logout", { ctx });
  }
}
