/**
 * The rooms of sockets in a session. Sockets are in them only from when they
 * can be used: by another process, a recovery or a broadcast to a session.
 * Before that they would only cost time and memory.
 *
 * @module
 */
import type { Socket } from "socket.io";
import type { SessionRegistry, TrackedSession } from "../identity/registry.ts";
import { isClusterAdapter } from "./socket_io.ts";
import { flat, hashId } from "../base/ids.ts";

/** Puts sockets into the rooms of their session, client and user, once rooms are enabled. */
export class SessionRooms {
  readonly #registry: SessionRegistry;
  #enabled = false;

  constructor(registry: SessionRegistry) {
    this.#registry = registry;
  }

  /** From now on every socket in a session is in its rooms. */
  enable(): void {
    if (this.#enabled) return;
    this.#enabled = true;
    this.#registry.indexByHash();
    for (const { session, sockets } of this.#registry.allClients()) {
      if (session) this.join(sockets, session);
    }
  }

  /** Enables rooms if an adapter reaches other processes, which may use them. */
  enableFor(adapter: object): void {
    if (!this.#enabled && isClusterAdapter(adapter)) this.enable();
  }

  /** Puts sockets into all rooms of their session. */
  join(sockets: readonly Socket[], session: TrackedSession): void {
    if (!this.#enabled) return;
    for (const socket of sockets) {
      join(socket, sessionRoom(session.hash));
      join(socket, clientRoom(session.clientId));
      if (session.user !== undefined) join(socket, userRoom(session.user));
    }
  }

  /**
   * Takes sockets out of all rooms of their session.
   *
   * @param clientId the client of the sockets: the session may be bound to another by now
   */
  leave(
    sockets: readonly Socket[],
    session: TrackedSession,
    clientId: string = session.clientId,
  ): void {
    if (!this.#enabled) return;
    for (const socket of sockets) {
      leave(socket, sessionRoom(session.hash));
      leave(socket, clientRoom(clientId));
      if (session.user !== undefined) leave(socket, userRoom(session.user));
    }
  }

  /** Takes sockets out of the room of their session's former id. */
  leaveSessionRoom(sockets: readonly Socket[], { hash }: TrackedSession): void {
    if (!this.#enabled) return;
    for (const socket of sockets) leave(socket, sessionRoom(hash));
  }

  /** Takes sockets from one user's room to another's. */
  changeUser(
    sockets: readonly Socket[],
    before: string | undefined,
    now: string | undefined,
  ): void {
    if (!this.#enabled) return;
    for (const socket of sockets) {
      if (before !== undefined) leave(socket, userRoom(before));
      if (now !== undefined) join(socket, userRoom(now));
    }
  }
}

function join(socket: Socket, room: string): void {
  ignoreFailure(socket.join(room));
}

function leave(socket: Socket, room: string): void {
  ignoreFailure(socket.leave(room));
}

/** An adapter may be asynchronous with rooms, and fail; no caller could receive the error. */
function ignoreFailure(done: Promise<void> | void): void {
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

/** The hash of the session that one of the rooms belongs to. */
export function hashInRooms(rooms: Iterable<unknown>): string | undefined {
  for (const room of rooms) {
    if (typeof room === "string" && room.startsWith(SESSION)) {
      return room.slice(SESSION.length);
    }
  }
  return undefined;
}

/** Whether no room belongs to another client or user. */
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
