/**
 * The Koa half of the bridge: the middleware, and the members of `ctx`.
 *
 * @module
 */
import { SessionMissingError } from "../api/errors.ts";
import type { KoaApplication, RegenerateOptions } from "../api/koa.ts";
import type { ResolvedOptions } from "../api/options.ts";
import { isAlive, type StoredRecord } from "../api/store.ts";
import { generateUid } from "../base/ids.ts";
import type {
  BoundSession,
  ClientBindings,
} from "../identity/client_binding.ts";
import type { IncomingIds } from "../identity/incoming_ids.ts";
import { LateChanges } from "../transaction/late_changes.ts";
import { unwritable } from "../transaction/lost_values.ts";
import { CLIENT_ID_LENGTH } from "../transaction/session_creation.ts";
import { type SessionCall, sessionCall } from "../transaction/session_call.ts";
import type { SocketRotation } from "../transaction/session_observer.ts";
import type { Transactions } from "../transaction/transactions.ts";
import {
  assertSessionNames,
  requestChanges,
  sessionIdOf,
} from "./context_session.ts";
import {
  hasSecondKoaSession,
  heldSession,
  useInPlace,
} from "./installation.ts";
import { type KoaSession, koaSessionMiddleware } from "./koa_session.ts";
import { KoaSessionStore } from "./koa_session_store.ts";
import {
  type Context,
  FOLLOW,
  isLive,
  type RequestHost,
  RequestState,
  settlePending,
  STATE,
} from "./request_state.ts";
import { SessionCookies } from "./session_cookies.ts";
import { metaOf } from "./session_meta.ts";

type Next = () => Promise<void>;

const SECOND_KOA_SESSION =
  "[koa-io-session] koa-session was added to the application after bridgeSession(app, io): ctx.session may be its own, which no socket sees, and its options have no effect on the bridge's. Remove it, and give its options to bridgeSession.";

/** The Koa half of the bridge. */
export class HttpMiddleware {
  /** Whether a request has passed. */
  ran = false;
  /** How many requests came, and how many of them ended without an error of the bridge. */
  readonly requests = { begun: 0, done: 0 };
  readonly #options: ResolvedOptions;
  readonly #transactions: Transactions;
  readonly #bindings: ClientBindings;
  readonly #ids: IncomingIds;
  readonly #cookies: SessionCookies;
  readonly #host: RequestHost;
  readonly #failed: (error: unknown) => void;
  readonly #notesUse: boolean;
  readonly #commitsAtEnd: boolean;
  readonly #app: KoaApplication;
  readonly #lateChanges = new LateChanges(
    "its request had ended",
    "Await what changes it, or change it with bridge.withSession(sessionId, handler).",
  );
  #closed = false;

  constructor(
    app: KoaApplication,
    options: ResolvedOptions,
    transactions: Transactions,
    bindings: ClientBindings,
    ids: IncomingIds,
    failed: (error: unknown) => void,
  ) {
    this.#app = app;
    this.#options = options;
    this.#transactions = transactions;
    this.#bindings = bindings;
    this.#ids = ids;
    this.#failed = failed;
    this.#notesUse = options.user !== undefined;
    this.#commitsAtEnd = options.native.autoCommit !== false;
    const cookies = this.#cookies = new SessionCookies(options, ids);
    this.#host = {
      genid: options.genid,
      metaOf: (ctx) => metaOf(options.meta, ctx, failed),
      afterHeaders: (ctx, callback) => cookies.afterHeaders(ctx, callback),
      waiting: new Set(),
    };
    const koaSession = koaSessionMiddleware(
      app,
      options,
      new KoaSessionStore(options, transactions, cookies),
      cookies,
      bindings.validity?.checkOnce,
    );
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

  /** Whether a koa-session was put into the application after the bridge. */
  get hasSecondKoaSession(): boolean {
    return hasSecondKoaSession(this.#app);
  }

  /** Lets later requests pass untouched. */
  close(): void {
    this.#closed = true;
    this.#lateChanges.check();
    for (const state of this.#host.waiting) state.close();
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
    if (!this.ran) {
      this.ran = true;
      if (this.hasSecondKoaSession) console.warn(SECOND_KOA_SESSION);
    }
    if (this.#closed || ctx[STATE]) return await next();
    this.requests.begun++;
    this.#cookies.attach(ctx);
    const received = this.#ids.ofRequest(ctx);
    const state = ctx[STATE] = new RequestState(ctx, received, this.#host);
    const binding = this.#bindings.forRequest(
      received.sid,
      received.clientId,
      ctx,
      state,
    );
    this.#bind(
      ctx,
      state,
      binding instanceof Promise ? await binding : binding,
    );
    let failure: { readonly error: unknown } | undefined;
    try {
      await koaSession(ctx, async () => {
        try {
          await next();
          assertSessionNames(ctx, state.record?.data);
        } catch (error) {
          failure = { error };
        } finally {
          state.handled = true;
        }
      });
      this.requests.done++;
    } catch (error) {
      const told = unwritable(error, heldSession(ctx));
      if (!failure) throw told;
      // the response is the handler's own error; this one goes to the app
      ctx.app.emit("error", told, ctx);
    } finally {
      if (state.pending || state.regenerations > 0) await settlePending(state);
      state.end();
      const session = heldSession(ctx);
      if (session && this.#commitsAtEnd) this.#lateChanges.offer(session);
    }
    if (failure) throw failure.error;
  }

  /** Binds a request to its session, and sends what its cookies lack. */
  #bind(ctx: Context, state: RequestState, bound: BoundSession): void {
    const { received } = state;
    const { record } = bound;
    state.clientId = bound.clientId ?? generateUid(CLIENT_ID_LENGTH);
    state.sid = state.koaSid = bound.sid;
    state.record = record;
    // rotated since the request arrived: another response has the cookie
    if (bound.sid !== received.sid) {
      state.cookieSuppressed = true;
      this.#cookies.suppressSession(ctx);
    }
    if (record) {
      this.#cookies.renewSession(ctx, record);
      if (this.#notesUse && isAlive(record)) {
        this.#noteUse(ctx, bound.sid!, record);
      }
    }
    if (
      state.clientId !== received.clientId || received.renewClient ||
      this.#options.clientAlwaysRoll
    ) {
      this.#cookies.sendClient(ctx, state.clientId);
    }
  }

  /** Records that a session was used, at most once per `touchInterval`. */
  #noteUse(ctx: Context, sid: string, { lastUsed }: StoredRecord): void {
    const { touchInterval } = this.#options;
    if (touchInterval === false) return;
    if (Date.now() - (lastUsed ?? 0) < touchInterval) return;
    this.#transactions.lookup.noteUse(sid, ctx).catch(this.#failed);
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
      request: state,
      carry: requestChanges(
        ctx,
        state,
        this.#transactions,
        {
          rotated: () => this.#cookies.sendSession(ctx, state.koaSid!),
          followed: () => {
            state.cookieSuppressed = true;
            this.#cookies.suppressSession(ctx);
          },
        },
      ),
    });
  }

  async #regenerate(ctx: Context, options?: RegenerateOptions): Promise<void> {
    const sockets = options?.sockets ?? "follow";
    if (!ROTATIONS.includes(sockets)) {
      throw new TypeError(
        `Cannot regenerate the session as sockets must be "follow", "leave" or "reconnect": received ${
          JSON.stringify(sockets) ?? typeof sockets
        }`,
      );
    }
    const state = ctx[STATE];
    const { session } = ctx;
    if (!state || !session || !isLive(state)) throw new SessionMissingError();
    // with `user` a client id opens nothing, and stays
    const keepsClient = sockets === "follow" ||
      sockets === "reconnect" && this.#transactions.reconnects;
    state.rotation = {
      sockets,
      clientId: keepsClient ? undefined : generateUid(CLIENT_ID_LENGTH),
    };
    try {
      await session.regenerate();
    } finally {
      state.rotation = FOLLOW;
    }
  }
}

const ROTATIONS: readonly SocketRotation[] = ["follow", "leave", "reconnect"];
