/**
 * Everything that the bridge relies on in Engine.IO. To be checked again at
 * each release; last checked with engine.io 6.6.12.
 *
 * @module
 */
import { hasOwn } from "../base/own_keys.ts";
import type { IncomingMessage } from "node:http";
import type { Server, Socket } from "socket.io";

/** The option `allowRequest` of Engine.IO; it may return a promise although it takes a callback. */
export type AllowRequest = (
  req: IncomingMessage,
  fn: (err: string | null | undefined, success: boolean) => void,
) => unknown;

/**
 * An Engine.IO server. `opts` is public and holds the options that `attach`
 * was given as well. `allowRequest` is read at each handshake, so that it may
 * be replaced at any time; `cors` is what the npm package `cors` takes.
 */
export interface EngineServer {
  readonly opts: { allowRequest?: AllowRequest; cors?: unknown };
}

/** What a middleware of an engine is given as the response: Node's, or a wrapper with these members. */
export interface EngineResponse {
  statusCode: number;
  getHeader(name: string): unknown;
  setHeader(name: string, value: string): unknown;
  end(): unknown;
}

/** A middleware of an engine; `engine.use` is public since Engine.IO 6.4. */
export type EngineMiddleware = (
  req: IncomingMessage,
  res: EngineResponse,
  next: (error?: unknown) => void,
) => unknown;

/** `engine`: public, and typed as always there; `undefined` until `attach`, `listen` or `bind`. */
export function engineOf(io: Server): EngineServer | undefined {
  return (io as unknown as { engine?: EngineServer }).engine;
}

/** `engine.opts.cors`: whether the policy allows credentials; a function as policy counts as no. */
export function allowsCorsCredentials(io: Server): boolean {
  const cors = engineOf(io)?.opts?.cors as
    | { readonly credentials?: boolean }
    | undefined;
  return cors?.credentials === true;
}

/**
 * Members of engines beyond {@linkcode EngineServer}. `verify` is protected:
 * it is called for each HTTP request and upgrade, after the middlewares, by
 * Node's engine and by the one for uWebSockets.js; for a request with a `sid`
 * it does not ask `allowRequest`. `clients` is public: the connections by
 * `sid`, each with the request that opened it.
 */
interface EngineInternals extends EngineServer {
  verify(
    req: EngineRequest,
    upgrade: boolean,
    fn: (code?: number, context?: object) => void,
  ): void;
  readonly clients: Readonly<
    Record<string, { readonly request?: IncomingMessage }>
  >;
  use(middleware: EngineMiddleware): void;
}

/** `_query`, private to Engine.IO: the parameters of the URL; set before any middleware runs. */
type EngineRequest = IncomingMessage & {
  readonly _query?: Readonly<Record<string, string | undefined>>;
};

/** `errors.FORBIDDEN` of Engine.IO, public: answered with 403, to an upgrade with 400. */
const FORBIDDEN = 4;

/**
 * Whether the bridge can check the requests of an engine. `@socket.io/bun-engine`
 * has no `use`, an `allowRequest` of another form, and requests of its own.
 */
export function isGuardable(engine: unknown): engine is EngineServer {
  const candidate = engine as Partial<EngineInternals> | undefined | null;
  return typeof candidate?.verify === "function" &&
    typeof candidate.use === "function" && candidate.opts !== undefined;
}

/** Why another engine is refused. */
export const NOT_GUARDABLE =
  "Cannot bridge sessions as io must be attached with an engine of Engine.IO: received another one, such as @socket.io/bun-engine, whose requests cannot be checked";

/**
 * Whether there is a request to judge. A connection that begins over
 * WebTransport has none: `request` is `null` there.
 */
export function hasRequest(
  req: IncomingMessage | null | undefined,
): req is IncomingMessage {
  return typeof req?.headers === "object" && req.headers !== null;
}

/** Whether Engine.IO answers this request by JSONP. */
export function isJsonp(req: IncomingMessage): boolean {
  const query = (req as EngineRequest)._query;
  return query?.j !== undefined && query.transport !== "websocket";
}

/** The request that opened the connection which a request belongs to; `undefined` for a handshake. */
export function openingRequest(
  engine: EngineServer,
  req: IncomingMessage,
): IncomingMessage | undefined {
  const { clients } = engine as EngineInternals;
  const sid = (req as EngineRequest)._query?.sid;
  return sid && hasOwn(clients, sid) ? clients[sid]!.request : undefined;
}

/**
 * Intercepts the requests, upgrades too, of connections that are open.
 *
 * @param refusal the message of a refusal
 * @param allows decides about a request, given the one that opened the connection
 * @returns removes the interception
 */
export function interceptLaterRequests(
  engine: EngineServer,
  refusal: string,
  allows: (
    first: IncomingMessage | undefined,
    req: IncomingMessage,
  ) => boolean | Promise<boolean>,
): () => void {
  const internals = engine as EngineInternals;
  const { verify } = internals;
  internals.verify = function (req, upgrade, fn) {
    const original = (fn: (code?: number, context?: object) => void) =>
      Reflect.apply(verify, this, [req, upgrade, fn]);
    if (!req._query?.sid) return original(fn);
    original((code, context) => {
      if (code !== undefined) return fn(code, context);
      const allowed = allows(openingRequest(engine, req), req);
      if (allowed === true) return fn();
      if (!allowed) return fn(FORBIDDEN, { message: refusal });
      allowed.then((allowed) => {
        if (!allowed) fn(FORBIDDEN, { message: refusal });
        // the connection may have ended during the decision
        else original(fn);
      });
    });
  };
  return () => void Reflect.deleteProperty(internals, "verify");
}

/** Adds a middleware to an engine. @returns makes it pass everything: it cannot be removed */
export function addEngineMiddleware(
  engine: EngineServer,
  middleware: EngineMiddleware,
): () => void {
  let removed = false;
  (engine as EngineInternals).use((req, res, next) =>
    removed ? next() : middleware(req, res, next)
  );
  return () => void (removed = true);
}

/** `conn.server`, private to Engine.IO's sockets: the engine that a socket came through. */
export function engineOfSocket({ conn }: Socket): EngineServer {
  return Reflect.get(conn, "server");
}

/**
 * Calls a listener with the engine that `io` has, and with each that it is
 * bound to later. `bind` is public; `attach`, `listen` and `attachApp` call it
 * as `this.bind`, so that a replacement sees every engine.
 *
 * @returns removes the replacement
 */
export function watchEngines(
  io: Server,
  listener: (engine: EngineServer) => void,
): () => void {
  const engine = engineOf(io);
  if (engine) listener(engine);
  const { bind } = io;
  Reflect.set(io, "bind", function (this: unknown, engine: EngineServer) {
    listener(engine);
    return Reflect.apply(bind, this, [engine]);
  });
  return () => void Reflect.deleteProperty(io, "bind");
}
