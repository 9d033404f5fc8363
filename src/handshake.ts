/**
 * The handshake of a socket: which session it gets, or why it gets none.
 *
 * @module
 */
import type { Bindings, Claim } from "./binding.ts";
import type { Clients } from "./clients.ts";
import type { Equipment } from "./equipment.ts";
import { type Followed, FOLLOWING } from "./following.ts";
import { then } from "./in_time.ts";
import type { Awaitable } from "./store.ts";
import { HANDSHAKE } from "./trace.ts";
import type { Socket } from "socket.io";

/** What handshakes need from the others. */
export interface HandshakeHost {
  readonly clients: Clients<Socket>;
  readonly bindings: Bindings<Socket>;
  readonly equipment: Equipment;
  /** Whether anybody looks into the Koa context of a handshake. */
  readonly wantsContext: boolean;
  /** The ids that came with a handshake, whose Koa context most can do without. */
  ids(socket: Socket): {
    readonly sid: string | undefined;
    readonly client: Claim;
  };
  /** Whether a handshake may be looked at; rejects where it may not. */
  admit(socket: Socket): Promise<void> | undefined;
}

/** A middleware of Socket.IO. */
export type Middleware = (
  socket: Socket,
  next: (error?: Error) => void,
) => void;

/** The middleware that gives sockets their sessions. */
export function handshakes(host: HandshakeHost): Middleware {
  return (socket, next) => {
    let shaken: Awaitable<void>;
    try {
      shaken = traced(host, socket);
    } catch (error) {
      return next(refusal(error));
    }
    // who is known at once is let in at once
    if (!(shaken instanceof Promise)) return next();
    shaken.then(() => next(), (error) => next(refusal(error)));
  };
}

function traced(host: HandshakeHost, socket: Followed): Awaitable<void> {
  if (!HANDSHAKE.watched) return handshake(host, socket);
  return HANDSHAKE.run(undefined, "socket", async (span) => {
    await handshake(host, socket);
    span.session = socket[FOLLOWING]?.known?.hash;
    span.outcome = span.session === undefined ? "guest" : "session";
  });
}

function handshake(host: HandshakeHost, socket: Socket): Awaitable<void> {
  return then(host.admit(socket), () => identify(host, socket));
}

function identify(host: HandshakeHost, socket: Socket): Awaitable<void> {
  const { bindings, clients, equipment } = host;
  const { sid, client } = host.ids(socket);
  // stands for it where nobody looks inside: by its `handshake` a trace tells where a call comes from
  const ctx = host.wantsContext ? equipment.contextOf(socket) : socket;
  return then(bindings.ofHandshake(sid, client, ctx), (bound) => {
    const { sid } = bound;
    const known = sid === undefined ? undefined : clients.know(sid);
    equipment.equip(socket, bound.clientId, known);
  });
}

/** What a client that is refused is told: the kind of error, no ids and no causes. */
function refusal(error: unknown): Error {
  // whatever a callback of the user's threw: null as well
  const { code, message }: { code?: unknown; message?: string } = Object(error);
  if (typeof code !== "string" || !code.startsWith("SESSION_")) {
    return Object.assign(new Error("Cannot open the session"), {
      data: { code: "SESSION_HANDSHAKE" },
    });
  }
  return Object.assign(new Error(message), { data: { code } });
}
