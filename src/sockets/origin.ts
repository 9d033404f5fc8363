/**
 * Which origins may open a socket with cookies. CORS does not cover
 * WebSockets: a page of any origin can open one, and the browser sends the
 * cookies along.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { KoaApplication, KoaContext } from "../api/koa.ts";
import type { OriginOption } from "../api/options.ts";
import type { Server } from "socket.io";
import {
  type AllowRequest,
  type EngineServer,
  watchEngines,
} from "./socket_io.ts";

/** `"guest"`: admitted, but its cookies are ignored. */
type Verdict = "session" | "guest" | "refused";

/** The options of the npm package `cors` that concern origins. */
interface CorsPolicy {
  readonly origin?: unknown;
  readonly credentials?: boolean;
}

const REFUSAL = "Origin not allowed";

/** Checks the origin of every handshake, on every transport, before any session is read. */
export class OriginGate {
  readonly #app: KoaApplication;
  readonly #option: OriginOption;
  readonly #makeResponse: (req: IncomingMessage) => ServerResponse;
  readonly #judged = new WeakSet<IncomingMessage>();
  readonly #guests = new WeakSet<IncomingMessage>();
  readonly #guarded = new WeakSet<EngineServer>();
  readonly #undo: (() => void)[] = [];
  readonly #onEngine: () => void;
  #warned = false;

  /** @param onEngine is called when `io` has an engine, and so may have an HTTP server */
  constructor(
    app: KoaApplication,
    option: OriginOption,
    makeResponse: (req: IncomingMessage) => ServerResponse,
    onEngine: () => void,
  ) {
    this.#onEngine = onEngine;
    this.#app = app;
    this.#option = option;
    this.#makeResponse = makeResponse;
  }

  /** Guards the engine of `io`, and each one that it is bound to later. */
  attach(io: Server): void {
    this.#undo.push(watchEngines(io, (engine) => this.#guard(engine)));
  }

  /** Whether the cookies of this request are ignored. */
  isGuest(req: IncomingMessage): boolean {
    return this.#guests.has(req);
  }

  /**
   * Judges the request of a socket that was not judged yet: such a socket
   * belongs to an engine that `io` was attached to before its present one, and
   * that is reachable only through its sockets. That engine is guarded from
   * then on.
   *
   * @returns nothing where the request was judged before
   * @throws (as a rejection) when the socket is refused
   */
  admit(
    engine: EngineServer,
    req: IncomingMessage,
  ): Promise<void> | undefined {
    if (this.#judged.has(req)) return undefined;
    this.#guard(engine);
    return this.#decide(req, engine.opts.cors, (allowed) => {
      if (allowed) return;
      throw Object.assign(new Error(REFUSAL), { code: "SESSION_HANDSHAKE" });
    });
  }

  close(): void {
    for (const undo of this.#undo.splice(0)) undo();
  }

  #guard(engine: EngineServer): void {
    if (this.#guarded.has(engine)) return;
    this.#guarded.add(engine);
    const { opts } = engine;
    const original = opts.allowRequest;
    const guarded: AllowRequest = (req, fn) => {
      this.#decide(
        req,
        opts.cors,
        (allowed) =>
          allowed
            ? askApplication(original, opts, req, fn)
            : fn(REFUSAL, false),
      ).catch(() => fn(REFUSAL, false));
    };
    opts.allowRequest = guarded;
    this.#onEngine();
    this.#undo.push(() => {
      if (opts.allowRequest !== guarded) return;
      if (original) opts.allowRequest = original;
      else delete opts.allowRequest;
    });
  }

  /** Judges a request and records the verdict; calls `next` in the same microtask. */
  #decide<T>(
    req: IncomingMessage,
    cors: unknown,
    next: (allowed: boolean) => T | Promise<T>,
  ): Promise<T> {
    return this.#judge(req, cors).catch((): Verdict => "refused").then(
      (verdict) => {
        if (verdict === "refused") {
          this.#warn();
          return next(false);
        }
        if (verdict === "guest") this.#guests.add(req);
        this.#judged.add(req);
        return next(true);
      },
    );
  }

  async #judge(req: IncomingMessage, cors: unknown): Promise<Verdict> {
    const origin = req.headers.origin;
    // only browsers send an origin, and only pages in a browser have to be checked
    if (origin === undefined) return "session";
    const option = this.#option;
    if (option === "any") return "session";
    if (option === "same") return this.#same(origin, req);
    if (option === "cors") {
      if (this.#same(origin, req) === "session") return "session";
      return cors ? await corsVerdict(cors, origin, req) : "refused";
    }
    if (option instanceof RegExp) return allow(matchesWhole(option, origin));
    if (typeof option === "function") return allow(await option(origin, req));
    return allow(option.includes(origin));
  }

  #same(origin: string, req: IncomingMessage): Verdict {
    if (req.headers["sec-fetch-site"] === "same-origin") return "session";
    const from = URL.canParse(origin) ? new URL(origin) : undefined;
    if (!from || from.origin !== origin.toLowerCase()) return "refused";
    const ctx = this.#app.createContext(req, this.#makeResponse(req)) as
      & KoaContext
      & { protocol: string; secure: boolean };
    const here = `${from.protocol}//${ctx.host}`;
    if (!URL.canParse(here) || new URL(here).host !== from.host) {
      return "refused";
    }
    const forwarded = this.#app.proxy && req.headers["x-forwarded-proto"];
    // without TLS here, a proxy in front may have terminated it: the scheme is uncertain
    const schemeIsCertain = ctx.secure || Boolean(forwarded);
    return allow(!schemeIsCertain || from.protocol === `${ctx.protocol}:`);
  }

  #warn(): void {
    if (this.#warned) return;
    this.#warned = true;
    console.warn(
      "[koa-io-session] A socket from a foreign origin was refused. Name who may open one in the option `origin`, or in the `cors` policy of Socket.IO.",
    );
  }
}

function allow(allowed: boolean): Verdict {
  return allowed === true ? "session" : "refused";
}

/** The whole origin must match: a match of a part of it proves nothing. */
function matchesWhole(pattern: RegExp, origin: string): boolean {
  const flags = pattern.flags.replace(/[gy]/g, "");
  return new RegExp(`^(?:${pattern.source})$`, flags).test(origin);
}

/** Calls the application's own check, which may be async although it takes a callback. */
function askApplication(
  original: AllowRequest | undefined,
  opts: object,
  req: IncomingMessage,
  fn: (err: string | null | undefined, success: boolean) => void,
): Promise<void> {
  if (!original) return Promise.resolve(fn(null, true));
  return new Promise((resolve, reject) => {
    const answer = Reflect.apply(original, opts, [
      req,
      (err: string | null | undefined, success: boolean) => {
        fn(err, success);
        resolve();
      },
    ]);
    Promise.resolve(answer).catch(reject);
  });
}

/** The verdict of the npm package `cors` on this origin. */
async function corsVerdict(
  cors: unknown,
  origin: string,
  req: IncomingMessage,
): Promise<Verdict> {
  const policy =
    await (typeof cors === "function"
      ? callbackResult<CorsPolicy>((fn) => cors(req, fn))
      : cors as CorsPolicy);
  let allowed: unknown = policy?.origin === undefined ? "*" : policy.origin;
  if (typeof allowed === "function") {
    const decide = allowed;
    allowed = await callbackResult((fn) => decide(origin, fn));
  }
  if (!allowed) return "refused";
  const any = allowed === "*" || allowed === true;
  if (any) return policy?.credentials ? "session" : "guest";
  return allow(isAllowed(origin, allowed));
}

function isAllowed(origin: string, allowed: unknown): boolean {
  if (Array.isArray(allowed)) {
    return allowed.some((one) => isAllowed(origin, one));
  }
  if (allowed instanceof RegExp) {
    allowed.lastIndex = 0;
    return allowed.test(origin);
  }
  return typeof allowed === "string" ? origin === allowed : Boolean(allowed);
}

function callbackResult<T>(
  call: (fn: (error: unknown, value?: T) => void) => unknown,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const done = (error: unknown, value?: T) =>
      error ? reject(error) : resolve(value);
    Promise.resolve(call(done)).catch(reject);
  });
}
