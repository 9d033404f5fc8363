/**
 * The Koa side: the middleware, `ctx.*`, and the store that koa-session is handed.
 *
 * @module
 */
import createSession from "koa-session";
import { type Bindings, CLIENT_ID_LENGTH } from "./binding.ts";
import { IdCookie } from "./cookies.ts";
import type { Commit } from "./editor.ts";
import { SessionMissingError } from "./errors.ts";
import { generateUid, isPlausibleId } from "./ids.ts";
import { missingPolicy } from "./missing.ts";
import type { KoaApplication, KoaContext, RegenerateOptions } from "./koa.ts";
import { fromNative, toNative } from "./native.ts";
import type { ResolvedOptions } from "./options.ts";
import {
  type Came,
  carry,
  type Context,
  FOLLOW,
  inTurn,
  rename,
  type RequestState,
  sessionIdOf,
  showStored,
  STATE,
  underWay,
} from "./request.ts";
import type { Committed } from "./requests.ts";
import type { SessionData, StoredRecord } from "./store.ts";
import type { Transactions } from "./transaction.ts";

type Next = () => Promise<void>;

const ENDED: Committed = { status: "ended" };

/** The Koa half of the bridge. */
export class HttpSessions<Socket> {
  /** Whether a request ever came by. */
  ran = false;
  readonly #options: ResolvedOptions;
  readonly #transactions: Transactions;
  readonly #bindings: Bindings<Socket>;
  readonly #sessionCookie: IdCookie;
  readonly #clientCookie: IdCookie;
  #closed = false;
  #warned = false;

  constructor(
    app: KoaApplication,
    options: ResolvedOptions,
    transactions: Transactions,
    bindings: Bindings<Socket>,
  ) {
    this.#options = options;
    this.#transactions = transactions;
    this.#bindings = bindings;
    this.#sessionCookie = new IdCookie(options.key, options.signed);
    this.#clientCookie = new IdCookie(options.clientKey, options.signed);
    const koaSession = this.#createNative(app);
    this.#extend(app.context);
    app.use((ctx, next) => this.#serve(ctx as Context, next, koaSession));
  }

  /** The ids that came with a request, as far as they can be believed. */
  ids(ctx: KoaContext): Came {
    const { externalKey } = this.#options;
    const sessionCookie = externalKey
      ? undefined
      : this.#sessionCookie.read(ctx);
    const clientCookie = this.#clientCookie.read(ctx);
    const sid = externalKey ? externalKey.get(ctx as never) : sessionCookie?.id;
    return {
      sid: isPlausibleId(sid) ? sid : undefined,
      clientId: clientCookie?.id,
      sessionCookie,
      clientCookie,
    };
  }

  /** Sends the client cookie again, for a whole life. */
  rollClient(ctx: object): void {
    const state = (ctx as Context)[STATE];
    if (state) this.#sendClient(ctx as Context, state.clientId);
  }

  /** From now on requests pass untouched. */
  close(): void {
    this.#closed = true;
  }

  #createNative(
    app: KoaApplication,
  ): (ctx: Context, next: Next) => Promise<void> {
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
      set: (ctx: Context, sid: string) => this.#sendSession(ctx, sid),
    };
    const { validity } = this.#bindings;
    const own = {
      store,
      externalKey,
      ...validity && { valid: validity.again },
    };
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

  #extend(context: object): void {
    const withSession = (ctx: Context, args: unknown[]) =>
      this.#withSession(ctx, args);
    const regenerate = (ctx: Context, options?: RegenerateOptions) =>
      this.#regenerate(ctx, options);
    Object.defineProperties(context, {
      clientId: {
        configurable: true,
        get(this: Context) {
          return this[STATE]?.clientId;
        },
      },
      sessionId: {
        configurable: true,
        get(this: Context) {
          return sessionIdOf(this);
        },
      },
      withSession: {
        configurable: true,
        writable: true,
        value(this: Context, ...args: unknown[]) {
          return withSession(this, args);
        },
      },
      regenerateSession: {
        configurable: true,
        writable: true,
        value(this: Context, options?: RegenerateOptions) {
          return regenerate(this, options);
        },
      },
    });
  }

  async #serve(
    ctx: Context,
    next: Next,
    koaSession: (ctx: Context, next: Next) => Promise<void>,
  ): Promise<void> {
    this.ran = true;
    if (this.#closed || ctx[STATE]) return await next();
    const came = this.ids(ctx);
    const binding = this.#bindings.ofRequest(came.sid, came.clientId, ctx);
    const bound = binding instanceof Promise ? await binding : binding;
    const clientId = bound.clientId ?? generateUid(CLIENT_ID_LENGTH);
    ctx[STATE] = {
      came,
      clientId,
      sid: bound.sid,
      nativeSid: bound.sid,
      record: bound.record,
      over: false,
      ended: false,
      silent: false,
      regenerations: 0,
      turn: undefined,
      rotation: FOLLOW,
    };
    if (bound.sid !== came.sid) {
      this.#correctSession(ctx, bound.sid!, bound.record!);
    }
    if (clientId !== came.clientId || this.#options.clientAlwaysRoll) {
      this.#sendClient(ctx, clientId);
    }
    let failure: { readonly error: unknown } | undefined;
    try {
      await koaSession(ctx, async () => {
        try {
          await next();
        } catch (error) {
          failure = { error };
        }
      });
    } catch (error) {
      if (!failure) throw error;
      // the handler's own error is the answer, and this one is not lost
      ctx.app.emit("error", error, ctx);
    }
    const state = ctx[STATE];
    if (state.turn || state.regenerations > 0) await underWay(state);
    if (failure) throw failure.error;
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
      this.#sessionCookie.mute(ctx);
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
      this.#sessionCookie.mute(ctx);
    }
    rename(ctx.session, committed.sid);
  }

  #nowClient(ctx: Context, state: RequestState, clientId: string): void {
    if (clientId === state.clientId) return;
    state.clientId = clientId;
    this.#sendClient(ctx, clientId);
  }

  async #destroy(
    ctx: Context,
    state: RequestState,
    sid: string,
  ): Promise<void> {
    if (ctx.headerSent) this.#tooLate(ctx);
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
    this.#sessionCookie.mute(ctx);
    const to = await this.#transactions.lookup.movedTo(state.sid!);
    if (to !== undefined) await this.#transactions.end(to, "logout", { ctx });
  }

  #sendSession(ctx: Context, sid: string): void {
    const state = ctx[STATE]!;
    const { sid: id, came } = state;
    if (state.over || state.silent || id === undefined) return;
    if (sid !== state.nativeSid) return;
    if (ctx.headerSent) return this.#tooLate(ctx);
    const { externalKey } = this.#options;
    if (externalKey) return externalKey.set(ctx as never, id);
    const { sessionCookie } = came;
    this.#sessionCookie.write(ctx, id, ctx.sessionOptions, sessionCookie);
  }

  #correctSession(ctx: Context, sid: string, record: StoredRecord): void {
    const { externalKey, key } = this.#options;
    if (externalKey) return externalKey.set(ctx as never, sid);
    const { cookie, expires } = record;
    const maxAge = cookie === "session"
      ? undefined
      : Math.max(cookie ?? 0, expires) - Date.now();
    ctx.cookies.set(key, sid, { ...ctx.sessionOptions, maxAge });
  }

  #sendClient(ctx: Context, clientId: string): void {
    if (ctx.headerSent) return this.#tooLate(ctx);
    const { clientCookie } = ctx[STATE]!.came;
    const { clientCookie: options } = this.#options;
    this.#clientCookie.write(ctx, clientId, options, clientCookie);
  }

  /** The headers are sent: data is saved all the same, the cookie cannot be. */
  #tooLate(ctx: Context): void {
    this.#sessionCookie.mute(ctx);
    if (this.#warned) return;
    this.#warned = true;
    console.warn(
      "[koa-io-session] A session changed after the headers of the answer were sent: its data is saved, its cookie is not.",
    );
  }

  async #withSession(ctx: Context, args: unknown[]): Promise<unknown> {
    const missing = missingPolicy(args);
    const state = ctx[STATE];
    const { session } = ctx;
    if (!state || !session || state.over) return await missing();
    if (sessionIdOf(ctx) === undefined) {
      // new: begun if there is something in it
      if (Object.keys(session.toJSON()).length === 0) return await missing();
      await session.save();
    }
    return await this.#transactions.run(state.sid, args, {
      ctx,
      carry: carry(ctx, state, this.#transactions),
    });
  }

  async #regenerate(ctx: Context, options?: RegenerateOptions): Promise<void> {
    const sockets = options?.sockets ?? "follow";
    if (sockets !== "follow" && sockets !== "leave") {
      throw new TypeError(
        `Cannot regenerate the session as sockets must be "follow" or "leave": received ${
          JSON.stringify(sockets) ?? typeof sockets
        }`,
      );
    }
    const state = ctx[STATE];
    const { session } = ctx;
    if (!state || !session || state.over) throw new SessionMissingError();
    state.rotation = {
      sockets,
      clientId: sockets === "leave" ? generateUid(CLIENT_ID_LENGTH) : undefined,
    };
    try {
      await session.regenerate();
    } finally {
      state.rotation = FOLLOW;
    }
  }
}
