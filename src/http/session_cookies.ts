/**
 * Sending the two cookies of a response.
 *
 * @module
 */
import type { ResolvedOptions } from "../api/options.ts";
import type { StoredRecord } from "../api/store.ts";
import type { IncomingIds } from "../identity/incoming_ids.ts";
import { type Context, isLive, STATE } from "./request_state.ts";

/** Writes the session cookie and the client cookie. */
export class SessionCookies {
  readonly #options: ResolvedOptions;
  readonly #ids: IncomingIds;
  #warned = false;

  constructor(options: ResolvedOptions, ids: IncomingIds) {
    this.#options = options;
    this.#ids = ids;
  }

  /** Sends the session's id, where koa-session sends `sid`. */
  sendSession(ctx: Context, sid: string): void {
    const state = ctx[STATE]!;
    const { sid: id, received } = state;
    if (!isLive(state) || state.cookieSuppressed || id === undefined) return;
    if (sid !== state.koaSid) return;
    if (ctx.headerSent) return this.warnHeadersSent(ctx);
    const { externalKey } = this.#options;
    if (externalKey) return externalKey.set(ctx as never, id);
    const { sessionCookie } = this.#ids;
    sessionCookie.write(ctx, id, ctx.sessionOptions, received.sessionCookie);
  }

  /** Sends the id of a session other than that of the received cookie. */
  replaceSession(ctx: Context, sid: string, record: StoredRecord): void {
    const { externalKey, key } = this.#options;
    if (externalKey) return externalKey.set(ctx as never, sid);
    const { cookie, expires } = record;
    const maxAge = cookie === "session"
      ? undefined
      : Math.max(cookie ?? 0, expires) - Date.now();
    ctx.cookies.set(key, sid, { ...ctx.sessionOptions, maxAge });
  }

  /** Sends the client cookie with its full life. */
  sendClient(ctx: Context, clientId: string): void {
    if (ctx.headerSent) return this.warnHeadersSent(ctx);
    const { clientCookie: received } = ctx[STATE]!.received;
    const { clientCookie: options } = this.#options;
    this.#ids.clientCookie.write(ctx, clientId, options, received);
  }

  /** Keeps the session cookie out of the response. */
  suppressSession(ctx: Context): void {
    this.#ids.sessionCookie.suppress(ctx);
  }

  /** Warns once that a cookie could not be sent, as the headers were sent before. */
  warnHeadersSent(ctx: Context): void {
    this.suppressSession(ctx);
    if (this.#warned) return;
    this.#warned = true;
    console.warn(
      "[koa-io-session] A session changed after the headers of the answer were sent: its data is saved, its cookie is not.",
    );
  }
}
