/**
 * Who may open a socket with cookies. CORS does not ask about WebSockets: a
 * page from anywhere can open one, and the browser sends the cookies along.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { KoaApplication, KoaContext } from "../api/koa.ts";
import type { OriginOption } from "../api/options.ts";

/** `"guest"`: admitted, but its cookies do not count. */
type Verdict = "session" | "guest" | "refused";

/** The options of the npm package `cors`, as far as origins go. */
interface CorsPolicy {
  readonly origin?: unknown;
  readonly credentials?: boolean;
}

type AllowRequest = (
  req: IncomingMessage,
  fn: (err: string | null | undefined, success: boolean) => void,
) => unknown;

/** The engine under Socket.IO, as far as it is touched. */
interface Engine {
  readonly opts: { allowRequest?: AllowRequest; cors?: unknown };
}

interface EngineHost {
  readonly engine?: Engine;
  bind(engine: never): unknown;
}

const REFUSAL = "Origin not allowed";

/** Stands before every handshake, on every transport, before any session is read. */
export class OriginGate {
  readonly #app: KoaApplication;
  readonly #option: OriginOption;
  readonly #makeResponse: (req: IncomingMessage) => ServerResponse;
  readonly #judged = new WeakSet<IncomingMessage>();
  readonly #guests = new WeakSet<IncomingMessage>();
  readonly #guarded = new WeakSet<Engine>();
  readonly #undo: (() => void)[] = [];
  readonly #bound: () => void;
  #warned = false;

  /** @param bound is called when `io` has an engine, and so may have an HTTP server */
  constructor(
    app: KoaApplication,
    option: OriginOption,
    makeResponse: (req: IncomingMessage) => ServerResponse,
    bound: () => void,
  ) {
    this.#bound = bound;
    this.#app = app;
    this.#option = option;
    this.#makeResponse = makeResponse;
  }

  /** Takes its place in the engine there is, and in each one that `io` is bound to later. */
  attach(io: object): void {
    const host = io as EngineHost;
    if (host.engine) this.#guard(host.engine);
    const bind = host.bind;
    const guard = (engine: Engine) => this.#guard(engine);
    Reflect.set(io, "bind", function (this: unknown, engine: Engine) {
      guard(engine);
      return Reflect.apply(bind, this, [engine]);
    });
    this.#undo.push(() => Reflect.deleteProperty(io, "bind"));
  }

  /** Whether the cookies of this request do not count. */
  isGuest(req: IncomingMessage): boolean {
    return this.#guests.has(req);
  }

  /**
   * For a socket whose request nobody judged: it came through an engine that
   * `io` was attached to before its last one, and that nothing leads to but
   * its sockets. That engine is guarded from then on.
   *
   * @returns nothing where the request was judged
   * @throws (as a rejection) when the socket is refused
   */
  admit(engine: object, req: IncomingMessage): Promise<void> | undefined {
    if (this.#judged.has(req)) return undefined;
    this.#guard(engine as Engine);
    return this.#decide(req, (engine as Engine).opts.cors, (allowed) => {
      if (allowed) return;
      throw Object.assign(new Error(REFUSAL), { code: "SESSION_HANDSHAKE" });
    });
  }

  close(): void {
    for (const undo of this.#undo.splice(0)) undo();
  }

  #guard(engine: Engine): void {
    if (this.#guarded.has(engine)) return;
    this.#guarded.add(engine);
    const { opts } = engine;
    const users = opts.allowRequest;
    const guarded: AllowRequest = (req, fn) => {
      this.#decide(
        req,
        opts.cors,
        (allowed) =>
          allowed ? askUser(users, opts, req, fn) : fn(REFUSAL, false),
      ).catch(() => fn(REFUSAL, false));
    };
    opts.allowRequest = guarded;
    this.#bound();
    this.#undo.push(() => {
      if (opts.allowRequest !== guarded) return;
      if (users) opts.allowRequest = users;
      else delete opts.allowRequest;
    });
  }

  /** Judges a request, and takes note of it; goes on without a detour. */
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
    // only browsers say where a page came from, and only pages need to be asked
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
    // without TLS here, a proxy before us may have ended it: the scheme is not known
    const known = ctx.secure || Boolean(forwarded);
    return allow(!known || from.protocol === `${ctx.protocol}:`);
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

/** A RegExp that is found somewhere inside says nothing: the whole origin must match. */
function matchesWhole(pattern: RegExp, origin: string): boolean {
  const flags = pattern.flags.replace(/[gy]/g, "");
  return new RegExp(`^(?:${pattern.source})$`, flags).test(origin);
}

/** The user's own check, which may be async although it takes a callback. */
function askUser(
  users: AllowRequest | undefined,
  opts: object,
  req: IncomingMessage,
  fn: (err: string | null | undefined, success: boolean) => void,
): Promise<void> {
  if (!users) return Promise.resolve(fn(null, true));
  return new Promise((resolve, reject) => {
    const answer = Reflect.apply(users, opts, [
      req,
      (err: string | null | undefined, success: boolean) => {
        fn(err, success);
        resolve();
      },
    ]);
    Promise.resolve(answer).catch(reject);
  });
}

/** What the npm package `cors` would answer to this origin. */
async function corsVerdict(
  cors: unknown,
  origin: string,
  req: IncomingMessage,
): Promise<Verdict> {
  const policy =
    await (typeof cors === "function"
      ? called<CorsPolicy>((fn) => cors(req, fn))
      : cors as CorsPolicy);
  let allowed: unknown = policy?.origin === undefined ? "*" : policy.origin;
  if (typeof allowed === "function") {
    const decide = allowed;
    allowed = await called((fn) => decide(origin, fn));
  }
  if (!allowed) return "refused";
  const anyone = allowed === "*" || allowed === true;
  if (anyone) return policy?.credentials ? "session" : "guest";
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

function called<T>(
  call: (fn: (error: unknown, value?: T) => void) => unknown,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const done = (error: unknown, value?: T) =>
      error ? reject(error) : resolve(value);
    Promise.resolve(call(done)).catch(reject);
  });
}
