/**
 * Which origins may open a socket with cookies. CORS does not cover
 * WebSockets: a page of any origin can open one, and the browser sends the
 * cookies along.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { KoaApplication } from "../api/koa.ts";
import type { OriginOption } from "../api/options.ts";
import type { Awaitable } from "../api/store.ts";
import type { Server } from "socket.io";
import { corsHeaders } from "./cors_headers.ts";
import type { Verdict } from "./cors_policy.ts";
import { OriginRules } from "./origin_rules.ts";
import { type Refusal, warnOfRefusal } from "./origin_warning.ts";
import {
  addEngineMiddleware,
  type AllowRequest,
  type EngineServer,
  hasRequest,
  interceptLaterRequests,
  isGuardable,
  NOT_GUARDABLE,
  openingRequest,
  watchEngines,
} from "./engine_io.ts";

const REFUSAL = "Origin not allowed";
const NO_REQUEST =
  "Cannot open the session as the handshake must have a request: received one without, as over WebTransport";

/** Checks the origin of every handshake, on every transport, before any session is read. */
export class OriginGate {
  readonly #rules: OriginRules;
  readonly #verdicts = new WeakMap<IncomingMessage, Verdict>();
  /** The origin that a connection has shown, by its first request, which had none. */
  readonly #settled = new WeakMap<IncomingMessage, string>();
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
    this.#rules = new OriginRules(app, option, makeResponse);
  }

  /** Guards the engine of `io`, and each one that it is bound to later. */
  attach(io: Server): void {
    this.#undo.push(watchEngines(io, (engine) => this.#guard(engine)));
  }

  /** Whether the cookies of this request are ignored. */
  isGuest(req: IncomingMessage): boolean {
    return !hasRequest(req) || this.#verdicts.get(req) === "guest";
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
    if (!hasRequest(req)) {
      this.#warn({ req, host: undefined });
      return Promise.reject(refused(NO_REQUEST));
    }
    if (this.#verdicts.has(req)) return undefined;
    this.#guard(engine);
    return this.#allows(req, engine.opts.cors).then((allowed) => {
      if (!allowed) throw refused(REFUSAL);
    });
  }

  close(): void {
    for (const undo of this.#undo.splice(0)) undo();
  }

  #guard(engine: EngineServer): void {
    if (this.#guarded.has(engine)) return;
    if (!isGuardable(engine)) throw new TypeError(NOT_GUARDABLE);
    this.#guarded.add(engine);
    this.#guardHandshakes(engine);
    this.#undo.push(
      interceptLaterRequests(
        engine,
        REFUSAL,
        (first, req) => this.#continues(engine, first, req),
      ),
    );
    if (this.#rules.namesOrigins && !engine.opts.cors) {
      const cors = corsHeaders((req) => this.#mayRead(engine, req));
      this.#undo.push(addEngineMiddleware(engine, cors));
    }
    this.#onEngine();
  }

  #guardHandshakes({ opts }: EngineServer): void {
    const original = opts.allowRequest;
    const guarded: AllowRequest = (req, fn) => {
      this.#allows(req, opts.cors).then((allowed) =>
        allowed ? askApplication(original, opts, req, fn) : fn(REFUSAL, false)
      ).catch(() => fn(REFUSAL, false));
    };
    opts.allowRequest = guarded;
    this.#undo.push(() => {
      if (opts.allowRequest !== guarded) return;
      if (original) opts.allowRequest = original;
      else delete opts.allowRequest;
    });
  }

  /** Judges a handshake; warns of the first one that is refused. */
  async #allows(req: IncomingMessage, cors: unknown): Promise<boolean> {
    const verdict = await this.#judge(req, cors);
    if (verdict === "refused") this.#warnOf(req);
    return verdict !== "refused";
  }

  /** Judges a request by itself, once. What fails refuses. */
  async #judge(req: IncomingMessage, cors: unknown): Promise<Verdict> {
    const known = this.#verdicts.get(req);
    if (known) return known;
    const verdict = await this.#rules.judge(req, cors)
      .catch((): Verdict => "refused");
    this.#verdicts.set(req, verdict);
    return verdict;
  }

  /** Holds a later request of a connection to the origin of the first one. */
  #continues(
    { opts }: EngineServer,
    first: IncomingMessage | undefined,
    req: IncomingMessage,
  ): Awaitable<boolean> {
    // the application may have removed the first request
    if (!hasRequest(first)) return this.#allows(req, opts.cors);
    const settled = this.#settled.get(first);
    const answer = this.#rules.continues(first, settled, req, opts.cors);
    if (typeof answer === "boolean") return this.#heed(answer, first, req);
    return answer.catch(() => false)
      .then((answer) => this.#heed(answer, first, req));
  }

  #heed(allowed: boolean, first: IncomingMessage, req: IncomingMessage) {
    const { origin } = req.headers;
    const settles = origin !== undefined && first.headers.origin === undefined;
    // two requests at once may have settled different origins
    const settled = this.#settled.get(first) ?? origin;
    if (!allowed || (settles && settled !== origin)) {
      this.#warnOf(req, first);
      return false;
    }
    if (settles) this.#settled.set(first, origin);
    return true;
  }

  /** Whether a page of the request's origin may read the answer. */
  async #mayRead(engine: EngineServer, req: IncomingMessage): Promise<boolean> {
    const first = openingRequest(engine, req);
    if (first && first.headers.origin === req.headers.origin) {
      return this.#verdicts.get(first) === "session";
    }
    const verdict = await this.#judge(req, undefined);
    // a browser sends nothing else after a preflight request without the headers
    if (verdict === "refused" && req.method === "OPTIONS") this.#warnOf(req);
    return verdict === "session";
  }

  #warnOf(req: IncomingMessage, first?: IncomingMessage): void {
    if (this.#warned) return;
    let host: string | undefined;
    try {
      host = this.#rules.hostOf(req);
    } catch {
      // the request is not one of HTTP
    }
    this.#warn({ req, first, host });
  }

  #warn(refusal: Refusal): void {
    if (this.#warned) return;
    this.#warned = true;
    warnOfRefusal(refusal);
  }
}

function refused(message: string): Error {
  return Object.assign(new Error(message), { code: "SESSION_HANDSHAKE" });
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
