/**
 * The two cookies of a request or a handshake: which ids came with it, and
 * which are sent with the answer.
 *
 * @module
 */
import type { ClientClaim } from "../identity/client_binding.ts";
import { type CookieBearer, IdCookie } from "../identity/id_cookie.ts";
import { isPlausibleId } from "../base/ids.ts";
import type { KoaApplication, KoaContext } from "../api/koa.ts";
import type { ResolvedOptions } from "../api/options.ts";
import { type Context, type RequestIds, STATE } from "./request_state.ts";
import type { StoredRecord } from "../api/store.ts";

/** See the module's text. */
export class SessionCookies {
  readonly #app: KoaApplication;
  readonly #options: ResolvedOptions;
  readonly #sessionCookie: IdCookie;
  readonly #clientCookie: IdCookie;
  #warned = false;

  constructor(app: KoaApplication, options: ResolvedOptions) {
    this.#app = app;
    this.#options = options;
    this.#sessionCookie = new IdCookie(options.key, options.signed);
    this.#clientCookie = new IdCookie(options.clientKey, options.signed);
  }

  /** The ids that came with a request, as far as they can be believed. */
  readRequest(ctx: KoaContext): RequestIds {
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

  /**
   * The ids that came with a handshake.
   *
   * @param contextOf makes its Koa context, which most can do without
   */
  readHandshake(
    req: KoaContext["req"],
    contextOf: () => KoaContext,
  ): { sid: string | undefined; client: ClientClaim } {
    const bearer = new HandshakeCookies(this.#app, req, contextOf);
    const { externalKey } = this.#options;
    const sid = externalKey
      ? externalKey.get(contextOf() as never)
      : this.#sessionCookie.read(bearer)?.id;
    const client = {
      unverified: this.#clientCookie.unverified(req),
      verified: () => this.#clientCookie.read(bearer)?.id,
    };
    return { sid: isPlausibleId(sid) ? sid : undefined, client };
  }

  /** Sends the session's id, where koa-session sends `sid`. */
  sendSession(ctx: Context, sid: string): void {
    const state = ctx[STATE]!;
    const { sid: id, received: came } = state;
    if (state.ended || state.cookieSuppressed || id === undefined) return;
    if (sid !== state.koaSid) return;
    if (ctx.headerSent) return this.warnHeadersSent(ctx);
    const { externalKey } = this.#options;
    if (externalKey) return externalKey.set(ctx as never, id);
    const { sessionCookie } = came;
    this.#sessionCookie.write(ctx, id, ctx.sessionOptions, sessionCookie);
  }

  /** Sends the id of a session that is not the one whose cookie came. */
  replaceSession(ctx: Context, sid: string, record: StoredRecord): void {
    const { externalKey, key } = this.#options;
    if (externalKey) return externalKey.set(ctx as never, sid);
    const { cookie, expires } = record;
    const maxAge = cookie === "session"
      ? undefined
      : Math.max(cookie ?? 0, expires) - Date.now();
    ctx.cookies.set(key, sid, { ...ctx.sessionOptions, maxAge });
  }

  /** Sends the client cookie, for a whole life. */
  sendClient(ctx: Context, clientId: string): void {
    if (ctx.headerSent) return this.warnHeadersSent(ctx);
    const { clientCookie } = ctx[STATE]!.received;
    const { clientCookie: options } = this.#options;
    this.#clientCookie.write(ctx, clientId, options, clientCookie);
  }

  /** Keeps the session cookie out of the answer. */
  suppressSession(ctx: Context): void {
    this.#sessionCookie.suppress(ctx);
  }

  /** The headers are sent: data is saved all the same, the cookie cannot be. */
  warnHeadersSent(ctx: Context): void {
    this.#sessionCookie.suppress(ctx);
    if (this.#warned) return;
    this.#warned = true;
    console.warn(
      "[koa-io-session] A session changed after the headers of the answer were sent: its data is saved, its cookie is not.",
    );
  }
}

/** Brings the cookies of a handshake; Koa's own way to read them is rarely taken. */
class HandshakeCookies implements CookieBearer {
  readonly #contextOf: () => KoaContext;

  constructor(
    readonly app: KoaApplication,
    readonly req: KoaContext["req"],
    contextOf: () => KoaContext,
  ) {
    this.#contextOf = contextOf;
  }

  get cookies(): KoaContext["cookies"] {
    return this.#contextOf().cookies;
  }
}
