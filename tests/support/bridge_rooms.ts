/** The bridge's rooms, which nothing lists, as the adapter's events announce them. */
import type { Server } from "socket.io";

/** Follows the bridge's rooms of a namespace from now on. */
export class BridgeRooms {
  readonly #members = new Map<string, Set<string>>();

  constructor(io: Server, namespace = "/") {
    const { adapter } = io.of(namespace);
    const ofBridge = (room: unknown) => String(room).startsWith("koa-io:");
    adapter.on("create-room", (room: string) => {
      if (ofBridge(room)) this.#members.set(room, new Set());
    });
    adapter.on("join-room", (room: string, id: string) => {
      this.#members.get(room)?.add(id);
    });
    adapter.on("leave-room", (room: string, id: string) => {
      this.#members.get(room)?.delete(id);
    });
    adapter.on("delete-room", (room: string) => {
      this.#members.delete(room);
    });
  }

  /** The names of all rooms. */
  names(): string[] {
    return [...this.#members.keys()];
  }

  /** The names of the rooms that a socket is in. */
  of({ id }: { readonly id: string }): string[] {
    return this.names().filter((room) => this.#members.get(room)!.has(id));
  }
}
