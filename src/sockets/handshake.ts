/**
 * The handshake of a socket: which session it gets, or why it gets none.
 *
 * @module
 */
import type {
  ClientBindings,
  ClientClaim,
} from "../identity/client_binding.ts";
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
import type { Middleware } from "./socket_io.ts";

/** What handshakes need from the others. */
export interface HandshakeDeps {
  readonly clients: SessionRegistry<Socket>;
  readonly bindings: ClientBindings<Socket>;
  readonly equipment: SocketExtension;
  /** Whether anybody looks into the Koa context of a handshake. */
  readonly wantsContext: boolean;
  /** The ids that came with a handshake, whose Koa context most can do without. */
  ids(socket: Socket): {
    readonly sid: string | undefined;
    readonly client: ClientClaim;
  };
  /** Whether a handshake may be looked at; rejects where it may not. */
  admit(socket: Socket): Promise<void> | undefined;
}

/** The middleware that gives sockets their sessions. */
export function handshakeMiddleware(host: HandshakeDeps): Middleware {
  return (socket, next) => {
    let shaken: Awaitable<void>;
    try {
      shaken = traced(host, socket);
    } catch (error) {
      return next(toConnectError(error));
    }
    // who is known at once is let in at once
    if (!(shaken instanceof Promise)) return next();
    shaken.then(() => next(), (error) => next(toConnectError(error)));
  };
}

function traced(host: HandshakeDeps, socket: BridgedSocket): Awaitable<void> {
  if (!HANDSHAKE.enabled) return handshake(host, socket);
  return HANDSHAKE.run(undefined, "socket", async (span) => {
    await handshake(host, socket);
    span.session = socket[SOCKET_STATE]?.known?.hash;
    span.outcome = span.session === undefined ? "guest" : "session";
  });
}

function handshake(host: HandshakeDeps, socket: Socket): Awaitable<void> {
  return chain(host.admit(socket), () => identify(host, socket));
}

function identify(host: HandshakeDeps, socket: Socket): Awaitable<void> {
  const { bindings, clients, equipment } = host;
  const { sid, client } = host.ids(socket);
  // stands for it where nobody looks inside: by its `handshake` a trace tells where a call comes from
  const ctx = host.wantsContext ? equipment.contextOf(socket) : socket;
  return chain(bindings.forHandshake(sid, client, ctx), (bound) => {
    const { sid } = bound;
    const known = sid === undefined ? undefined : clients.track(sid);
    equipment.extend(socket, bound.clientId, known);
  });
}

/** What a client that is refused is told: the kind of error, no ids and no causes. */
function toConnectError(error: unknown): Error {
  // whatever a callback of the user's threw: null as well
  const { code, message }: { code?: unknown; message?: string } = Object(error);
  if (typeof code !== "string" || !code.startsWith("SESSION_")) {
    return Object.assign(new Error("Cannot open the session"), {
      data: { code: "SESSION_HANDSHAKE" },
    });
  }
  return Object.assign(new Error(message), { data: { code } });
}
