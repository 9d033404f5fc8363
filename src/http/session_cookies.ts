/**
 * Sending the two cookies of a response.
 *
 * @module
 */
import type { CookieOptions } from "../api/koa.ts";
import type { ResolvedOptions } from "../api/options.ts";
import type { StoredRecord } from "../api/store.ts";
import type { IncomingIds } from "../identity/incoming_ids.ts";
import { isShared, makePrivate, unshare } from "./cache_control.ts";
import { type Context, isLive, STATE } from "./request_state.ts";
import { ResponseHeaders } from "./response_headers.ts";

const HEADERS: unique symbol = Symbol("koa-io-session.headers");
const NOT_MODIFIED = 304;
const NO_LINES: readonly string[] = [];

type Warning = "headersSent" | "insecure" | "shared";
type Watched = Context & { [HEADERS]?: ResponseHeaders };

/** Writes the session cookie and the client cookie, and keeps both out of shared caches. */
export class SessionCookies {
  readonly #options: ResolvedOptions;
  readonly #ids: IncomingIds;
  /** The beginnings of the `Set-Cookie` lines of each cookie and its signature. */
  readonly #sessionLines: readonly string[];
  readonly #clientLines: readonly string[];
  readonly #warned = new Set<Warning>();

  constructor(options: ResolvedOptions, ids: IncomingIds) {
    this.#options = options;
    this.#ids = ids;
    const { key, clientKey } = options;
    this.#sessionLines = [`${key}=`, `${key}.sig=`];
    this.#clientLines = [`${clientKey}=`, `${clientKey}.sig=`];
  }

  /** Watches a response until its headers are written; to be called before any of them can be. */
  attach(ctx: Context): void {
    this.#headersOf(ctx);
  }

  /** Calls back once the headers are written or the connection is closed. */
  afterHeaders(ctx: Context, callback: () => void): void {
    this.#headersOf(ctx).after(callback);
  }

  /** Sends the session's id, where koa-session sends `sid`. */
  sendSession(ctx: Context, sid: string): void {
    const state = ctx[STATE]!;
    const { sid: id, received } = state;
    if (!isLive(state) || state.cookieSuppressed || id === undefined) return;
    if (sid !== state.koaSid) return;
    if (ctx.headerSent) return this.warnHeadersSent(ctx);
    const { externalKey } = this.#options;
    if (externalKey) {
      this.#headersOf(ctx).carriesId = true;
      return externalKey.set(ctx as never, id);
    }
    const { sessionCookie } = this.#ids;
    sessionCookie.allow(ctx);
    sessionCookie.write(ctx, id, ctx.sessionOptions, received.sessionCookie);
  }

  /**
   * Sends the session cookie again, with the rest of its life, if an older key
   * signed it. A response that may not have it, such as a public file, leaves
   * that to the next one.
   */
  renewSession(ctx: Context, record: StoredRecord): void {
    if (!ctx[STATE]!.received.renewSession) return;
    this.#headersOf(ctx).outdated = record;
  }

  /** Sends the client cookie with its full life, unless the response may not have it. */
  sendClient(ctx: Context, clientId: string): void {
    this.#headersOf(ctx).clientId = clientId;
  }

  /** Keeps the session cookie out of the response. */
  suppressSession(ctx: Context): void {
    this.#headersOf(ctx).outdated = undefined;
    this.#ids.sessionCookie.suppress(ctx);
  }

  /** Warns once that a cookie could not be sent, as the headers were sent before. */
  warnHeadersSent(ctx: Context): void {
    this.suppressSession(ctx);
    this.#warn(
      "headersSent",
      "A session changed after the headers of the answer were sent: its data is saved, its cookie is not.",
    );
  }

  #headersOf(ctx: Watched): ResponseHeaders {
    return ctx[HEADERS] ??= new ResponseHeaders(ctx, this.#decide);
  }

  readonly #decide = (headers: ResponseHeaders, status: number): void => {
    try {
      this.#complete(headers, status);
    } catch (error) {
      // thrown out of `writeHead`, it would leave the request without an answer
      headers.ctx.app.emit("error", error, headers.ctx);
    }
  };

  #complete(headers: ResponseHeaders, status: number): void {
    const { ctx, clientId, outdated, carriesId } = headers;
    const { res } = ctx;
    this.#restoreRotated(ctx);
    const lines = linesOf(res);
    if (!clientId && !outdated && !carriesId && lines.length === 0) return;
    let hasId = carriesId || has(lines, this.#sessionLines);
    let shared = isShared(res);
    if (hasId && shared) {
      this.#warnShared(res.getHeader("cache-control"));
      unshare(res);
      shared = false;
    }
    if (shared || status === NOT_MODIFIED) {
      this.#removeClient(res, lines);
    } else {
      if (outdated) hasId = this.#sendOutdated(ctx, outdated) || hasId;
      if (clientId) hasId = this.#writeClient(ctx, clientId) || hasId;
      hasId ||= has(lines, this.#clientLines);
    }
    if (hasId) makePrivate(res);
  }

  #writeClient(ctx: Context, clientId: string): boolean {
    const { clientCookie: options } = this.#options;
    if (options.secure && !isSecure(ctx)) {
      this.#warn(
        "insecure",
        "The client cookie is left out where the connection is not secure, as the option secure is true. " +
          "Behind a proxy that ends TLS, set app.proxy = true.",
      );
      return false;
    }
    const { clientCookie: received } = ctx[STATE]!.received;
    this.#ids.clientCookie.write(ctx, clientId, options, received);
    return true;
  }

  /**
   * Sends the id of a session that this request has rotated, where Koa removed
   * the cookie together with all headers of a response that failed: the id that
   * the browser has is dead.
   */
  #restoreRotated(ctx: Context): void {
    const state = ctx[STATE];
    if (!state?.rotated || !state.record) return;
    const { sid, record, received } = state;
    if (received.sid === undefined || sid === received.sid) return;
    if (!this.#options.externalKey) this.#sendAgain(ctx, record);
  }

  #sendOutdated(ctx: Context, record: StoredRecord): boolean {
    const { sid, received } = ctx[STATE]!;
    return sid === received.sid && this.#sendAgain(ctx, record);
  }

  /** Sends the session cookie with the rest of its life, unless the response has it. */
  #sendAgain(ctx: Context, record: StoredRecord): boolean {
    const state = ctx[STATE]!;
    const { sid } = state;
    if (!isLive(state) || state.cookieSuppressed || sid === undefined) {
      return false;
    }
    const maxAge = cookieLife(record);
    if (maxAge !== undefined && maxAge <= 0) return false;
    const options: CookieOptions = { ...ctx.sessionOptions, maxAge };
    // as opposed to a cookie that the request has to send, no reason to fail
    if (options.secure && !isSecure(ctx)) return false;
    // sent or removed already
    if (has(linesOf(ctx.res), this.#sessionLines.slice(0, 1))) return false;
    this.#ids.sessionCookie.write(ctx, sid, options, undefined);
    return true;
  }

  #removeClient(res: Context["res"], lines: readonly string[]): void {
    if (!has(lines, this.#clientLines)) return;
    const kept = lines.filter((line) => !has([line], this.#clientLines));
    if (kept.length > 0) res.setHeader("Set-Cookie", kept);
    else res.removeHeader("Set-Cookie");
  }

  #warnShared(control: unknown): void {
    this.#warn(
      "shared",
      `The session cookie was sent with an answer for shared caches (Cache-Control: ${
        String(control)
      }): public and s-maxage are removed, and private is added.`,
    );
  }

  /** Prints the first warning of each kind. */
  #warn(kind: Warning, message: string): void {
    if (this.#warned.has(kind)) return;
    this.#warned.add(kind);
    console.warn(`[koa-io-session] ${message}`);
  }
}

/** The rest of the cookie's life, in ms; `undefined` for one that ends with the browser. */
function cookieLife({ cookie, expires }: StoredRecord): number | undefined {
  return cookie === "session" ? undefined : (cookie ?? expires) - Date.now();
}

function isSecure(ctx: Context): boolean {
  const { secure } = ctx.cookies as { secure?: boolean };
  return secure ?? (ctx as { secure?: boolean }).secure === true;
}

/** The `Set-Cookie` lines that are set. */
function linesOf(res: Context["res"]): readonly string[] {
  const lines = res.getHeader("set-cookie");
  if (lines === undefined) return NO_LINES;
  return Array.isArray(lines) ? lines : [String(lines)];
}

function has(lines: readonly string[], starts: readonly string[]): boolean {
  for (const line of lines) {
    for (const start of starts) if (line.startsWith(start)) return true;
  }
  return false;
}
