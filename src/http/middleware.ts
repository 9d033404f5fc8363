/**
 * The Koa side: the middleware, and `ctx.*`.
 *
 * @module
 */
import {
  CLIENT_ID_LENGTH,
  type ClientBindings,
  type ClientClaim,
} from "../identity/client_binding.ts";
import { SessionMissingError } from "../api/errors.ts";
import { generateUid } from "../base/ids.ts";
import type {
  KoaApplication,
  KoaContext,
  RefreshContext,
  RegenerateOptions,
} from "../api/koa.ts";
import { missingPolicy } from "../transaction/on_missing.ts";
import { type KoaSession, KoaSessionStore } from "./koa_session_store.ts";
import type { ResolvedOptions } from "../api/options.ts";
import {
  type Context,
  FOLLOW,
  requestChanges,
  sessionIdOf,
  settlePending,
  STATE,
} from "./request_state.ts";
import { SessionCookies } from "./session_cookies.ts";
import type { Transactions } from "../transaction/transactions.ts";

type Next = () => Promise<void>;

/** The Koa half of the bridge. */
export class HttpMiddleware<Socket> {
  /** Whether a request ever came by. */
  ran = false;
  readonly #options: ResolvedOptions;
  readonly #transactions: Transactions;
  readonly #bindings: ClientBindings<Socket>;
  readonly #cookies: SessionCookies;
  #closed = false;

  constructor(
    app: KoaApplication,
    options: ResolvedOptions,
    transactions: Transactions,
    bindings: ClientBindings<Socket>,
  ) {
    this.#options = options;
    this.#transactions = transactions;
    this.#bindings = bindings;
    const cookies = this.#cookies = new SessionCookies(app, options);
    const koaSession = new KoaSessionStore(options, transactions, cookies)
      .middleware(app, bindings.validity?.checkOnce);
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
  ): { sid: string | undefined; client: ClientClaim } {
    return this.#cookies.readHandshake(req, contextOf);
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
    const came = this.#cookies.readRequest(ctx);
    const binding = this.#bindings.forRequest(came.sid, came.clientId, ctx);
    const bound = binding instanceof Promise ? await binding : binding;
    const clientId = bound.clientId ?? generateUid(CLIENT_ID_LENGTH);
    ctx[STATE] = {
      received: came,
      clientId,
      sid: bound.sid,
      koaSid: bound.sid,
      record: bound.record,
      ended: false,
      endedHere: false,
      cookieSuppressed: false,
      regenerations: 0,
      pending: undefined,
      rotation: FOLLOW,
    };
    if (bound.sid !== came.sid) {
      this.#cookies.replaceSession(ctx, bound.sid!, bound.record!);
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
    if (state.pending || state.regenerations > 0) await settlePending(state);
    if (failure) throw failure.error;
  }

  async #withSession(ctx: Context, args: unknown[]): Promise<unknown> {
    const missing = missingPolicy(args);
    const state = ctx[STATE];
    const { session } = ctx;
    if (!state || !session || state.ended) return await missing();
    if (sessionIdOf(ctx) === undefined) {
      // new: begun if there is something in it
      if (Object.keys(session.toJSON()).length === 0) return await missing();
      await session.save();
    }
    return await this.#transactions.run(state.sid, args, {
      ctx,
      carry: requestChanges(ctx, state, this.#transactions),
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
    if (!state || !session || state.ended) throw new SessionMissingError();
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

/** The same, with what the bridge knows of it. */
interface Bridged extends RefreshContext {
  readonly sessionId: string | undefined;
  readonly session: { save(): Promise<void> } | null;
}

/** @param roll sends the client cookie again */
export async function refresh(
  ctx: RefreshContext,
  roll: (ctx: object) => void,
): Promise<void> {
  const bridged = ctx as Bridged;
  ctx.set("Cache-Control", "no-store");
  roll(ctx);
  if (bridged.sessionId !== undefined) await bridged.session?.save();
  // it may have ended while it was being saved
  ctx.status = bridged.sessionId === undefined ? 401 : 204;
}
