/**
 * What a socket is told of its session: that it is in one, in none, or in none
 * any more.
 *
 * @module
 */
import type { EndReason } from "../api/events.ts";
import type { OnSessionEnd } from "../api/options.ts";
import type { Socket } from "socket.io";

/** By this a client says in `auth` that it wants to be told how it stands; 1 is the version of that. */
const AUTH_FLAG = "koa-io-session";

/** Tells a socket that connected into a session, if it asked. */
export function sendSessionStart(socket: Socket): void {
  if (isMarked(socket)) socket.emit("session:start");
}

/** Tells a socket that connected without a session, if it asked; `client`: whether it would hear of a login. */
export function sendSessionNone(socket: Socket, client: boolean): void {
  if (isMarked(socket)) socket.emit("session:none", { client });
}

/** Tells a socket that its session ended. */
export function sendSessionEnd(
  socket: Socket,
  reason: EndReason,
  onSessionEnd: OnSessionEnd,
): void {
  socket.emit("session:end", { reason });
  if (typeof onSessionEnd !== "object") return;
  const { event } = onSessionEnd;
  if (event !== undefined) socket.emit(event, { reason });
}

function isMarked({ handshake }: Socket): boolean {
  const auth = handshake.auth as Record<string, unknown> | null | undefined;
  return auth?.[AUTH_FLAG] === 1;
}
