/**
 * A socket in a session: the rooms that it is in while the session lives.
 *
 * @module
 */
import type { Socket } from "socket.io";
import type { Known } from "./clients.ts";
import { clientRoom, sessionRoom, userRoom } from "./rooms.ts";

/** Puts a socket into all rooms of its session. */
export function joinSession(socket: Socket, known: Known): void {
  join(socket, sessionRoom(known.hash));
  join(socket, clientRoom(known.clientId));
  if (known.user !== undefined) join(socket, userRoom(known.user));
}

/**
 * Takes a socket out of all rooms of its session.
 *
 * @param clientId the client that it followed: the session may be bound to another by now
 */
export function leaveSession(
  socket: Socket,
  known: Known,
  clientId: string = known.clientId,
): void {
  leave(socket, sessionRoom(known.hash));
  leave(socket, clientRoom(clientId));
  if (known.user !== undefined) leave(socket, userRoom(known.user));
}

export function join(socket: Socket, room: string): void {
  settled(socket.join(room));
}

export function leave(socket: Socket, room: string): void {
  settled(socket.leave(room));
}

/** An adapter may take its time, and fail, with rooms; nobody is there to be told. */
function settled(done: Promise<void> | void): void {
  if (done instanceof Promise) done.catch(() => {});
}
