/**
 * The Koa side: the middleware, and `ctx.*`.
 *
 * @module
 */
import { type Bindings, type Claim, CLIENT_ID_LENGTH } from "./binding.ts";
import { SessionMissingError } from "./errors.ts";
import { generateUid } from "./ids.ts";
import type { KoaApplication, KoaContext, RegenerateOptions } from "./koa.ts";
import { missingPolicy } from "./missing.ts";
import { type KoaSession, NativeStore } from "./native_store.ts";
import type { ResolvedOptions } from "./options.ts";
import {
  carry,
  type Context,
  FOLLOW,
  sessionIdOf,
  STATE,
  underWay,
} from "./request.ts";
import { SessionCookies } from "./session_cookies.ts";
import type { Transactions } from "./transaction.ts";

type Next = () => Promise<void>;

/** The Koa half of the bridge. */
export class HttpSessions<Socket> {
  /** Whether a request ever came by. */
  ran = false;
  readonly #options: ResolvedOptions;
  readonly #transactions: Transactions;
  readonly #bindings: Bindings<Socket>;
  readonly #cookies: SessionCookies;
  #closed = false;

  constructor(
    app: KoaApplication,
    options: ResolvedOptions,
    transactions: Transactions,
    bindings: Bindings<Socket>,
  ) {
    this.#options = options;
    this.#transactions = transactions;
    this.#bindings = bindings;
    const cookies = this.#cookies = new SessionCookies(app, options);
    const koaSession = new NativeStore(options, transactions, cookies)
      .middleware(app, bindings.validity?.again);
    this.#extend(app.context);
    app.use((ctx, next) => this.#serve(ctx as Context, next, koaSession));
  }

  /**
   * The ids that came with a handshake.
   *
   * @param contextOf makes its Koa context, which most can do without
   */
  idsOfHandshake(
    req: KoaContext["req"],
    contextOf: () => KoaContext,
  ): { sid: string | undefined; client: Claim } {
    return this.#cookies.ofHandshake(req, contextOf);
  }

  /** Sends the client cookie again, for a whole life. */
  rollClient(ctx: object): void {
    const state = (ctx as Context)[STATE];
    if (state) this.#cookies.sendClient(ctx as Context, state.clientId);
  }

  /** From now on requests pass untouched. */
  close(): void {
    this.#closed = true;
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
    koaSession: KoaSession,
  ): Promise<void> {
    this.ran = true;
    if (this.#closed || ctx[STATE]) return await next();
    const came = this.#cookies.ofRequest(ctx);
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
      this.#cookies.correctSession(ctx, bound.sid!, bound.record!);
    }
    if (clientId !== came.clientId || this.#options.clientAlwaysRoll) {
      this.#cookies.sendClient(ctx, clientId);
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
