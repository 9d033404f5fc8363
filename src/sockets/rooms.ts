/**
 * The rooms of sockets in a session. Sockets are in them only from when they
 * can be used: by another process, a recovery or a broadcast to a session.
 * Before that they would only cost time and memory. They are the bridge's own:
 * the application neither lists, joins nor leaves them.
 *
 * @module
 */
import type { Namespace, Socket } from "socket.io";
import type { SessionRegistry, TrackedSession } from "../identity/registry.ts";
import { isClusterAdapter } from "./adapter.ts";
import { HiddenRooms } from "./hidden_rooms.ts";
import type { RoomNames } from "./room_names.ts";
import { beforeTopics, followTopics, leaveTopics } from "./topics.ts";

/** Puts sockets into the rooms of their session, client and user, once rooms are enabled. */
export class SessionRooms {
  /** The names of the rooms. */
  readonly names: RoomNames;
  readonly #registry: SessionRegistry;
  readonly #failed: (error: unknown) => void;
  readonly #rooms = new WeakMap<Namespace, HiddenRooms>();
  #enabled = false;
  #warned = false;

  /** @param failed receives what listeners of an adapter's room events throw */
  constructor(
    registry: SessionRegistry,
    names: RoomNames,
    failed: (error: unknown) => void,
  ) {
    this.names = names;
    this.#registry = registry;
    this.#failed = failed;
  }

  /** From now on every socket in a session is in its rooms. */
  enable(): void {
    if (this.#enabled) return;
    this.#enabled = true;
    this.#registry.indexByHash();
    for (const { session, members } of this.#registry.allClients()) {
      if (session) this.join(members, session);
    }
  }

  /**
   * Makes an adapter of a namespace deliver to the rooms. Enables them if it
   * reaches other processes, which may use them.
   *
   * @returns ends it
   */
  attach(namespace: Namespace, adapter: object): () => void {
    if (!this.#enabled && isClusterAdapter(adapter)) this.enable();
    return this.#of(namespace).attach(adapter, (room) => this.#refuse(room));
  }

  /** The bridge's rooms that a socket is in. */
  of({ nsp, id }: Socket): readonly string[] {
    return this.#of(nsp).of(id);
  }

  /** Puts sockets into all rooms of their session. */
  join(sockets: readonly Socket[], session: TrackedSession): void {
    if (!this.#enabled || sockets.length === 0) return;
    this.#join(sockets, this.#all(session));
  }

  /** Takes sockets out of all rooms, as their session ended or they disconnected. */
  leave(sockets: readonly Socket[]): void {
    for (const socket of sockets) this.#leave([socket], this.of(socket));
  }

  /** Takes sockets out of the rooms that their session had under its former id and does not have now. */
  leaveFormer(
    sockets: readonly Socket[],
    from: TrackedSession,
    to: TrackedSession,
  ): void {
    if (!this.#enabled) return;
    const now = this.#all(to);
    this.#leave(sockets, this.#all(from).filter((it) => !now.includes(it)));
  }

  /** Takes sockets from one user's room to another's. */
  changeUser(
    sockets: readonly Socket[],
    before: string | undefined,
    now: string | undefined,
  ): void {
    if (!this.#enabled) return;
    if (before !== undefined) this.#leave(sockets, [this.names.user(before)]);
    if (now !== undefined) this.#join(sockets, [this.names.user(now)]);
  }

  #all({ hash, user, clientId }: TrackedSession): readonly string[] {
    const { names } = this;
    const all = [names.session(hash), names.client(clientId)];
    return user === undefined ? all : [...all, names.user(user)];
  }

  #join(sockets: readonly Socket[], rooms: readonly string[]): void {
    for (const socket of sockets) {
      const { nsp, id } = socket;
      // one that disconnected would never leave
      if (nsp.sockets.get(id) !== socket) continue;
      const hidden = this.#of(nsp);
      if (hidden.of(id).length === 0) {
        beforeTopics(socket, () => followTopics(socket, hidden.of(id)));
      }
      hidden.join(id, rooms);
      followTopics(socket, rooms);
    }
  }

  #leave(sockets: readonly Socket[], rooms: readonly string[]): void {
    for (const socket of sockets) {
      this.#of(socket.nsp).leave(socket.id, rooms);
      leaveTopics(socket, rooms);
    }
  }

  #of(namespace: Namespace): HiddenRooms {
    let rooms = this.#rooms.get(namespace);
    if (!rooms) {
      this.#rooms.set(namespace, rooms = new HiddenRooms(this.#failed));
    }
    return rooms;
  }

  #refuse(room: string): void {
    if (this.#warned) return;
    this.#warned = true;
    console.warn(
      `[koa-io-session] The application joined or left the room ${room}, which is the bridge's own: ignored, now and later. Names that begin with "koa-io:" are the bridge's; use a room of another name, or bridge.toSession, toClient and toUser.`,
    );
  }
}
