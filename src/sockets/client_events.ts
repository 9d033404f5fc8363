/**
 * The events that clients receive. Every emit of one goes through
 * {@linkcode emitTo}, typed by `ClientEvents`.
 *
 * @module
 */
import type { ClientEvents, EndReason } from "../api/events.ts";
import type { OnSessionEnd } from "../api/options.ts";
import type { Socket } from "socket.io";
import { authOf } from "./socket_io.ts";

/** A client sets this in `auth` to ask for its state at connect; the value 1 is the version of the protocol. */
const AUTH_FLAG = "koa-io-session";

/** A socket, or an operator that broadcasts to rooms. */
interface EmitTarget {
  emit(event: string, ...args: unknown[]): unknown;
}

/** Emits an event of the bridge to a socket or to rooms. */
export function emitTo<E extends keyof ClientEvents>(
  target: EmitTarget,
  event: E,
  ...payload: Parameters<ClientEvents[E]>
): void {
  target.emit(event, ...payload);
}

/** Reports to a socket that it connected into a session, if its client asked for that. */
export function sendSessionStart(socket: Socket): void {
  if (asksForState(socket)) emitTo(socket, "session:start");
}

/**
 * Reports to a socket that it connected without a session, if its client asked
 * for that.
 *
 * @param client whether a later login will reach the socket, as its client is identified
 */
export function sendSessionNone(socket: Socket, client: boolean): void {
  if (asksForState(socket)) emitTo(socket, "session:none", { client });
}

/** Reports to a socket that its session ended; by the application's own event as well, if it named one. */
export function sendSessionEnd(
  socket: Socket,
  reason: EndReason,
  onSessionEnd: OnSessionEnd,
): void {
  emitTo(socket, "session:end", { reason });
  if (typeof onSessionEnd !== "object") return;
  const { event } = onSessionEnd;
  if (event !== undefined) socket.emit(event, { reason });
}

function asksForState(socket: Socket): boolean {
  return authOf(socket, AUTH_FLAG) === 1;
}
