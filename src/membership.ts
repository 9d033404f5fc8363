/**
 * A socket in a session: the rooms that it is in while the session lives. They
 * are kept from when somebody can use them: another process, a recovery, a
 * broadcast to a session. Until then they would only cost.
 *
 * @module
 */
import type { Socket } from "socket.io";
import type { Clients, Known } from "./clients.ts";
import { isShared } from "./cluster.ts";
import { clientRoom, sessionRoom, userRoom } from "./rooms.ts";

/** See the module's text. */
export class Membership {
  readonly #clients: Clients<Socket>;
  #kept = false;

  constructor(clients: Clients<Socket>) {
    this.#clients = clients;
  }

  /** From now on whoever is in a session is in its rooms. */
  keep(): void {
    if (this.#kept) return;
    this.#kept = true;
    this.#clients.nameAll();
    for (const { session, sockets } of this.#clients.all()) {
      if (session) this.join(sockets, session);
    }
  }

  /** Keeps rooms if an adapter reaches other processes, which may use them. */
  keepFor(adapter: object): void {
    if (!this.#kept && isShared(adapter)) this.keep();
  }

  /** Puts sockets into all rooms of their session. */
  join(sockets: readonly Socket[], known: Known): void {
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
    known: Known,
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
  leaveId(sockets: readonly Socket[], { hash }: Known): void {
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
