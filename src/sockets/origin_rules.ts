/**
 * The rules by which the origin of a request is judged.
 *
 * A browser sends `Origin` with a WebSocket, with a POST, and with a request of
 * a page to another origin that reads the answer. It sends none with a GET to
 * the page's own origin, nor with what a `<script>` or an `<img>` loads from
 * anywhere; there `Sec-Fetch-Site` tells the two apart, over HTTPS and on
 * localhost. A request with neither header is taken for a program's.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { KoaApplication, KoaContext } from "../api/koa.ts";
import type { OriginOption } from "../api/options.ts";
import type { Awaitable } from "../api/store.ts";
import { corsVerdict, type Verdict } from "./cors_policy.ts";
import { isJsonp } from "./engine_io.ts";

/** Judges requests by the option `origin`. */
export class OriginRules {
  readonly #app: KoaApplication;
  readonly #option: OriginOption;
  readonly #makeResponse: (req: IncomingMessage) => ServerResponse;

  constructor(
    app: KoaApplication,
    option: OriginOption,
    makeResponse: (req: IncomingMessage) => ServerResponse,
  ) {
    this.#app = app;
    this.#option = option;
    this.#makeResponse = makeResponse;
  }

  /** Whether the option names origins, rather than `"same"` or the policy `cors`. */
  get namesOrigins(): boolean {
    return this.#option !== "cors" && this.#option !== "same";
  }

  /**
   * Judges a request by itself.
   *
   * @param cors the policy given to Socket.IO
   */
  async judge(req: IncomingMessage, cors: unknown): Promise<Verdict> {
    const { origin } = req.headers;
    if (isJsonp(req)) return "refused";
    if (origin === undefined) return allow(!isFromOtherSite(req));
    const option = this.#option;
    if (option === "any") return "session";
    if (option === "same") return allow(this.#isSame(origin, req));
    if (option === "cors") {
      if (this.#isSame(origin, req)) return "session";
      return cors ? await corsVerdict(cors, origin, req) : "refused";
    }
    if (option instanceof RegExp) return allow(matchesWhole(option, origin));
    if (typeof option === "function") return allow(await option(origin, req));
    return allow(option.includes(origin));
  }

  /**
   * Whether a later request of a connection is of the page that opened it.
   *
   * @param first the request that opened the connection
   * @param settled the origin that an earlier request of the connection had, where `first` had none
   * @param cors the policy given to Socket.IO
   */
  continues(
    first: IncomingMessage,
    settled: string | undefined,
    req: IncomingMessage,
    cors: unknown,
  ): Awaitable<boolean> {
    const opener = first.headers.origin;
    const { origin } = req.headers;
    if (isJsonp(req)) return false;
    if (origin === undefined) {
      if (isFromOtherSite(req)) return false;
      return opener === undefined || this.#isSame(opener, first);
    }
    const expected = opener ?? settled;
    if (expected !== undefined) return origin === expected;
    // the page of `first` has the server's own origin, which the browser states here
    if (isSameOrigin(first) && isFromOtherSite(req)) return false;
    return this.judge(req, cors).then((verdict) => verdict === "session");
  }

  /** The host that an `Origin` is compared with. */
  hostOf(req: IncomingMessage): string {
    return (this.#app.createContext(
      req,
      this.#makeResponse(req),
    ) as KoaContext).host;
  }

  #isSame(origin: string, req: IncomingMessage): boolean {
    if (isSameOrigin(req)) return true;
    const from = URL.canParse(origin) ? new URL(origin) : undefined;
    if (!from || from.origin !== origin.toLowerCase()) return false;
    const here = `${from.protocol}//${this.hostOf(req)}`;
    if (!URL.canParse(here) || new URL(here).host !== from.host) return false;
    const scheme = this.#schemeOf(req);
    return scheme === undefined || from.protocol === `${scheme}:`;
  }

  /**
   * The scheme of a request, as Koa's `ctx.protocol`. `undefined` without TLS
   * here: a proxy in front may have terminated it. A request of uWebSockets.js
   * has no `socket`, which `ctx.protocol` needs.
   */
  #schemeOf(req: IncomingMessage): string | undefined {
    const socket = req.socket as { readonly encrypted?: boolean } | undefined;
    if (socket?.encrypted) return "https";
    const forwarded = this.#app.proxy && req.headers["x-forwarded-proto"];
    return String(forwarded || "").split(",", 1)[0]!.trim() || undefined;
  }
}

/** Whether the browser says that the page has the origin of the server. */
function isSameOrigin({ headers }: IncomingMessage): boolean {
  return headers["sec-fetch-site"] === "same-origin";
}

/** Whether the browser says that a page of another origin caused the request; `none` is its user. */
function isFromOtherSite({ headers }: IncomingMessage): boolean {
  const site = headers["sec-fetch-site"];
  return site !== undefined && site !== "same-origin" && site !== "none";
}

function allow(allowed: boolean): Verdict {
  return allowed === true ? "session" : "refused";
}

/** The whole origin must match: a match of a part of it proves nothing. */
function matchesWhole(pattern: RegExp, origin: string): boolean {
  const flags = pattern.flags.replace(/[gy]/g, "");
  return new RegExp(`^(?:${pattern.source})$`, flags).test(origin);
}
