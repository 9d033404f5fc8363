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
  /** Whether an older key signed the session cookie: `SessionCookies.renewSession` sends it again. */
  readonly renewSession: boolean;
  /** Whether an older key signed the client cookie. */
  readonly renewClient: boolean;
}

/** The client id that a handshake claims. */
export interface ClientClaim {
  /** As received, whether its signature is valid or not. */
  readonly unverified: string | undefined;
  /**
   * Whether a cookie with this id was received, whether its signature is valid
   * or not. It may be one of several: a cookie that another host of the domain
   * has set can precede it in every request.
   */
  presents(clientId: string): boolean;
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
  client: {
    unverified: undefined,
    presents: () => false,
    verified: () => undefined,
  },
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
      renewSession: sessionCookie?.outdated === true,
      renewClient: clientCookie?.outdated === true,
    };
  }

  /**
   * The ids of a handshake.
   *
   * @param contextOf makes its Koa context; called only for the option `externalKey`
   */
  ofHandshake(
    req: KoaContext["req"],
    contextOf: () => KoaContext,
  ): HandshakeIds {
    const bearer: CookieBearer = { app: this.#app, req };
    const sid = this.#externalKey
      ? this.#externalKey.get(contextOf() as never)
      : this.sessionCookie.read(bearer)?.id;
    const client = {
      unverified: this.clientCookie.unverified(req),
      presents: (clientId: string) => this.clientCookie.presents(req, clientId),
      verified: () => this.clientCookie.read(bearer)?.id,
    };
    return { sid: plausible(sid), client };
  }
}

function plausible(id: unknown): string | undefined {
  return isPlausibleId(id) ? id : undefined;
}
