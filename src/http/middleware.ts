/**
 * The Koa half of the bridge: the middleware, and the members of `ctx`.
 *
 * @module
 */
import {
  CLIENT_ID_LENGTH,
  type ClientBindings,
} from "../identity/client_binding.ts";
import { SessionMissingError } from "../api/errors.ts";
import { generateUid } from "../base/ids.ts";
import type {
  KoaApplication,
  RefreshContext,
  RegenerateOptions,
} from "../api/koa.ts";
import type { IncomingIds } from "../identity/incoming_ids.ts";
import { type SessionCall, sessionCall } from "../transaction/session_call.ts";
import { useInPlace } from "./installation.ts";
import { type KoaSession, KoaSessionStore } from "./koa_session_store.ts";
import type { ResolvedOptions } from "../api/options.ts";
import {
  type Context,
  FOLLOW,
  isLive,
  requestChanges,
  sessionIdOf,
  settlePending,
  STATE,
} from "./request_state.ts";
import { SessionCookies } from "./session_cookies.ts";
import type { Transactions } from "../transaction/transactions.ts";

type Next = () => Promise<void>;

/** The Koa half of the bridge. */
export class HttpMiddleware {
  /** Whether a request has passed. */
  ran = false;
  readonly #options: ResolvedOptions;
  readonly #transactions: Transactions;
  readonly #bindings: ClientBindings;
  readonly #ids: IncomingIds;
  readonly #cookies: SessionCookies;
  #closed = false;

  constructor(
    app: KoaApplication,
    options: ResolvedOptions,
    transactions: Transactions,
    bindings: ClientBindings,
    ids: IncomingIds,
  ) {
    this.#options = options;
    this.#transactions = transactions;
    this.#bindings = bindings;
    this.#ids = ids;
    const cookies = this.#cookies = new SessionCookies(options, ids);
    const koaSession = new KoaSessionStore(options, transactions, cookies)
      .middleware(app, bindings.validity?.checkOnce);
    this.#extend(app.context);
    useInPlace(
      app,
      (ctx, next) => this.#serve(ctx as Context, next, koaSession),
    );
  }

  /** Sends the client cookie with its full life. */
  rollClient(ctx: object): void {
    const state = (ctx as Context)[STATE];
    if (state) this.#cookies.sendClient(ctx as Context, state.clientId);
  }

  /** Lets later requests pass untouched. */
  close(): void {
    this.#closed = true;
  }

  #extend(context: object): void {
    const withSession = async (ctx: Context, args: unknown[]) =>
      await this.#withSession(ctx, sessionCall(args));
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
    this.#cookies.attach(ctx);
    const received = this.#ids.ofRequest(ctx);
    const binding = this.#bindings.forRequest(
      received.sid,
      received.clientId,
      ctx,
    );
    const bound = binding instanceof Promise ? await binding : binding;
    const clientId = bound.clientId ?? generateUid(CLIENT_ID_LENGTH);
    ctx[STATE] = {
      received,
      clientId,
      sid: bound.sid,
      koaSid: bound.sid,
      record: bound.record,
      phase: "live",
      cookieSuppressed: false,
      regenerations: 0,
      pending: undefined,
      rotation: FOLLOW,
    };
    if (bound.sid !== received.sid) {
      this.#cookies.replaceSession(ctx, bound.sid!, bound.record!);
    }
    if (bound.record) this.#cookies.renewSession(ctx, bound.record);
    if (
      clientId !== received.clientId || received.renewClient ||
      this.#options.clientAlwaysRoll
    ) {
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
      // the response is the handler's own error; this one goes to the app
      ctx.app.emit("error", error, ctx);
    }
    const state = ctx[STATE];
    if (state.pending || state.regenerations > 0) await settlePending(state);
    if (failure) throw failure.error;
  }

  async #withSession(ctx: Context, call: SessionCall): Promise<unknown> {
    const state = ctx[STATE];
    const { session } = ctx;
    if (!state || !session || !isLive(state)) return await call.missing();
    if (sessionIdOf(ctx) === undefined) {
      // new: created if it has any data
      if (Object.keys(session.toJSON()).length === 0) {
        return await call.missing();
      }
      await session.save();
    }
    return await this.#transactions.run(state.sid, call, {
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
    if (!state || !session || !isLive(state)) throw new SessionMissingError();
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

/** A refreshed context, with the members that the bridge adds. */
interface Bridged extends RefreshContext {
  readonly sessionId: string | undefined;
  readonly session: { save(): Promise<void> } | null;
}

/**
 * Answers a refresh: 204 with a session, which is saved, else 401.
 *
 * @param roll sends the client cookie
 */
export async function refresh(
  ctx: RefreshContext,
  roll: (ctx: object) => void,
): Promise<void> {
  const bridged = ctx as Bridged;
  ctx.set("Cache-Control", "no-store");
  roll(ctx);
  if (bridged.sessionId !== undefined) await bridged.session?.save();
  // it may have ended during the save
  ctx.status = bridged.sessionId === undefined ? 401 : 204;
}
