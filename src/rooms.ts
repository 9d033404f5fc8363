/**
 * The rooms that the bridge keeps. Their names travel between processes and
 * stand in what recovery stores, so they hold hashes, never ids.
 *
 * @module
 */
import { flat, hashId } from "./ids.ts";

const SESSION = "koa-io:session:";
const CLIENT = "koa-io:client:";
const USER = "koa-io:user:";

/** The room of a session's sockets, by the hash of its id. */
export function sessionRoom(hash: string): string {
  return flat(SESSION + hash);
}

/** The room of a client's sockets, while it has a session. */
export function clientRoom(clientId: string): string {
  return flat(CLIENT + hashId(clientId));
}

/** The room of the sockets of a user's sessions. */
export function userRoom(user: string): string {
  return flat(USER + hashId(user));
}

/** The hash of the session that rooms tell of. */
export function hashInRooms(rooms: Iterable<unknown>): string | undefined {
  for (const room of rooms) {
    if (typeof room === "string" && room.startsWith(SESSION)) {
      return room.slice(SESSION.length);
    }
  }
  return undefined;
}

/** Whether rooms tell of no other client and user than these. */
export function areOf(
  rooms: Iterable<unknown>,
  clientId: string,
  user: string | undefined,
): boolean {
  const own = [clientRoom(clientId), user === undefined ? "" : userRoom(user)];
  return [...rooms].every((room) =>
    typeof room !== "string" || own.includes(room) ||
    !(room.startsWith(CLIENT) || room.startsWith(USER))
  );
}
