/**
 * The handshake of a socket: finds its session, or refuses the connection.
 *
 * @module
 */
import type { KoaContext } from "../api/koa.ts";
import type { ClientBindings } from "../identity/client_binding.ts";
import {
  type HandshakeIds,
  type IncomingIds,
  NO_IDS,
} from "../identity/incoming_ids.ts";
import type { SessionRegistry } from "../identity/registry.ts";
import {
  type BridgedSocket,
  SOCKET_STATE,
  type SocketExtension,
} from "./socket_extension.ts";
import { chain } from "../base/async.ts";
import type { Awaitable } from "../api/store.ts";
import { HANDSHAKE } from "../base/tracing.ts";
import type { Socket } from "socket.io";
import type { OriginGate } from "./origin.ts";
import { engineOfSocket } from "./engine_io.ts";
import type { Middleware } from "./socket_io.ts";

/** What handshakes need. */
export interface HandshakeDeps {
  readonly registry: SessionRegistry;
  readonly bindings: ClientBindings;
  readonly extension: SocketExtension;
  /** Whether the store or the option `valid` reads the Koa context of a handshake. */
  readonly wantsContext: boolean;
  readonly ids: IncomingIds;
  readonly origin: OriginGate;
}

/** The ids that a handshake presents; none where its cookies do not count. */
export function handshakeIds(
  { ids, origin, extension }: HandshakeDeps,
  socket: Socket,
): HandshakeIds {
  const { request } = socket;
  if (origin.isGuest(request)) return NO_IDS;
  const contextOf = () => extension.contextOf(socket) as KoaContext;
  return ids.ofHandshake(request, contextOf);
}

/** The middleware that gives sockets their sessions. */
export function handshakeMiddleware(deps: HandshakeDeps): Middleware {
  return (socket, next) => {
    let done: Awaitable<void>;
    try {
      done = traced(deps, socket);
    } catch (error) {
      return next(toConnectError(error));
    }
    // a session that is found synchronously lets the connection continue synchronously
    if (!(done instanceof Promise)) return next();
    done.then(() => next(), (error) => next(toConnectError(error)));
  };
}

function traced(deps: HandshakeDeps, socket: BridgedSocket): Awaitable<void> {
  if (!HANDSHAKE.enabled) return handshake(deps, socket);
  return HANDSHAKE.run(undefined, "socket", async (span) => {
    await handshake(deps, socket);
    span.session = socket[SOCKET_STATE]?.session?.hash;
    span.outcome = span.session === undefined ? "guest" : "session";
  });
}

function handshake(deps: HandshakeDeps, socket: Socket): Awaitable<void> {
  const { origin } = deps;
  const admitted = origin.admit(engineOfSocket(socket), socket.request);
  return chain(admitted, () => identify(deps, socket));
}

function identify(deps: HandshakeDeps, socket: Socket): Awaitable<void> {
  const { bindings, registry, extension } = deps;
  const { sid, client } = handshakeIds(deps, socket);
  // the socket replaces a context that is not read: a trace only checks for a member `handshake`
  const ctx = deps.wantsContext ? extension.contextOf(socket) : socket;
  return chain(bindings.forHandshake(sid, client, ctx), (bound) => {
    const { sid, clientId, mismatched } = bound;
    const session = sid === undefined ? undefined : registry.track(sid);
    extension.extend(socket, clientId, session, mismatched);
  });
}

/** The error that a refused client receives: its code and message, no ids and no causes. */
function toConnectError(error: unknown): Error {
  // a callback of the application may throw any value, null too
  const { code, message }: { code?: unknown; message?: string } = Object(error);
  if (typeof code !== "string" || !code.startsWith("SESSION_")) {
    return Object.assign(new Error("Cannot open the session"), {
      data: { code: "SESSION_HANDSHAKE" },
    });
  }
  return Object.assign(new Error(message), { data: { code } });
}
