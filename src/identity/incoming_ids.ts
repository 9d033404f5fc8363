/**
 * The ids that a request or a handshake carries: from the two cookies, or by
 * the option `externalKey`.
 *
 * @module
 */
import type { KoaApplication, KoaContext } from "../api/koa.ts";
import type { ExternalKey, ResolvedOptions } from "../api/options.ts";
import { isPlausibleId } from "../base/ids.ts";
import {
  type CookieBearer,
  type GenuineCookie,
  IdCookie,
} from "./id_cookie.ts";

/** The ids of a request. */
export interface RequestIds {
  readonly sid: string | undefined;
  readonly clientId: string | undefined;
  readonly sessionCookie: GenuineCookie | undefined;
  readonly clientCookie: GenuineCookie | undefined;
}

/** The client id that a handshake claims. */
export interface ClientClaim {
  /** As received, whether its signature is valid or not. */
  readonly unverified: string | undefined;
  /** The id if its signature is valid; verified when this is called. */
  verified(): string | undefined;
}

/** The ids of a handshake. */
export interface HandshakeIds {
  readonly sid: string | undefined;
  readonly client: ClientClaim;
}

/** The ids of a handshake with cookies that do not count. */
export const NO_IDS: HandshakeIds = {
  sid: undefined,
  client: { unverified: undefined, verified: () => undefined },
};

/** Reads ids, over HTTP and in handshakes alike. */
export class IncomingIds {
  readonly sessionCookie: IdCookie;
  readonly clientCookie: IdCookie;
  readonly #app: KoaApplication;
  readonly #externalKey: ExternalKey | undefined;

  constructor(app: KoaApplication, options: ResolvedOptions) {
    const { key, clientKey, signed, externalKey } = options;
    this.#app = app;
    this.#externalKey = externalKey;
    this.sessionCookie = new IdCookie(key, signed);
    this.clientCookie = new IdCookie(clientKey, signed);
  }

  /** The ids of a request. */
  ofRequest(ctx: KoaContext): RequestIds {
    const sessionCookie = this.#externalKey
      ? undefined
      : this.sessionCookie.read(ctx);
    const clientCookie = this.clientCookie.read(ctx);
    return {
      sid: plausible(
        this.#externalKey
          ? this.#externalKey.get(ctx as never)
          : sessionCookie?.id,
      ),
      clientId: clientCookie?.id,
      sessionCookie,
      clientCookie,
    };
  }

  /**
   * The ids of a handshake.
   *
   * @param contextOf makes its Koa context; in most cases it is not called
   */
  ofHandshake(
    req: KoaContext["req"],
    contextOf: () => KoaContext,
  ): HandshakeIds {
    const bearer = new HandshakeCookies(this.#app, req, contextOf);
    const sid = this.#externalKey
      ? this.#externalKey.get(contextOf() as never)
      : this.sessionCookie.read(bearer)?.id;
    const client = {
      unverified: this.clientCookie.unverified(req),
      verified: () => this.clientCookie.read(bearer)?.id,
    };
    return { sid: plausible(sid), client };
  }
}

function plausible(id: unknown): string | undefined {
  return isPlausibleId(id) ? id : undefined;
}

/** The cookies of a handshake; the Koa context behind them is made only for an older key or a forgery. */
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
