/**
 * A socket in a session: the rooms that it is in while the session lives. They
 * are kept from when somebody can use them: another process, a recovery, a
 * broadcast to a session. Until then they would only cost.
 *
 * @module
 */
import type { Socket } from "socket.io";
import type { SessionRegistry, TrackedSession } from "../identity/registry.ts";
import { isClusterAdapter } from "./socket_io.ts";
import { flat, hashId } from "../base/ids.ts";

/** See the module's text. */
export class SessionRooms {
  readonly #clients: SessionRegistry<Socket>;
  #kept = false;

  constructor(clients: SessionRegistry<Socket>) {
    this.#clients = clients;
  }

  /** From now on whoever is in a session is in its rooms. */
  enable(): void {
    if (this.#kept) return;
    this.#kept = true;
    this.#clients.indexByHash();
    for (const { session, sockets } of this.#clients.allClients()) {
      if (session) this.join(sockets, session);
    }
  }

  /** Keeps rooms if an adapter reaches other processes, which may use them. */
  enableFor(adapter: object): void {
    if (!this.#kept && isClusterAdapter(adapter)) this.enable();
  }

  /** Puts sockets into all rooms of their session. */
  join(sockets: readonly Socket[], known: TrackedSession): void {
    if (!this.#kept) return;
    for (const socket of sockets) {
      join(socket, sessionRoom(known.hash));
      join(socket, clientRoom(known.clientId));
      if (known.user !== undefined) join(socket, userRoom(known.user));
    }
  }

  /**
   * Takes sockets out of all rooms of their session.
   *
   * @param clientId the client that they followed: the session may be bound to another by now
   */
  leave(
    sockets: readonly Socket[],
    known: TrackedSession,
    clientId: string = known.clientId,
  ): void {
    if (!this.#kept) return;
    for (const socket of sockets) {
      leave(socket, sessionRoom(known.hash));
      leave(socket, clientRoom(clientId));
      if (known.user !== undefined) leave(socket, userRoom(known.user));
    }
  }

  /** Takes sockets out of the room of an id that their session had. */
  leaveSessionRoom(sockets: readonly Socket[], { hash }: TrackedSession): void {
    if (!this.#kept) return;
    for (const socket of sockets) leave(socket, sessionRoom(hash));
  }

  /** Takes sockets from one user's room to another's. */
  changeUser(
    sockets: readonly Socket[],
    before: string | undefined,
    now: string | undefined,
  ): void {
    if (!this.#kept) return;
    for (const socket of sockets) {
      if (before !== undefined) leave(socket, userRoom(before));
      if (now !== undefined) join(socket, userRoom(now));
    }
  }
}

function join(socket: Socket, room: string): void {
  settled(socket.join(room));
}

function leave(socket: Socket, room: string): void {
  settled(socket.leave(room));
}

/** An adapter may take its time, and fail, with rooms; nobody is there to be told. */
function settled(done: Promise<void> | void): void {
  if (done instanceof Promise) done.catch(() => {});
}

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
export function belongTo(
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
