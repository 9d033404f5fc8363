/**
 * The bridge's rooms in one namespace. An adapter delivers to them as to any
 * room, as it finds their members by name; nothing lists them, and only the
 * bridge changes them.
 *
 * @module
 */
import { extendRooms, type RoomEvents, roomEventsOf } from "./adapter.ts";

/** The members of a room, as an adapter reads them; for every other reader they cannot be changed. */
class Members extends Set<string> {
  override add(): this {
    return this;
  }

  override delete(): boolean {
    return false;
  }

  override clear(): void {}

  enter(id: string): void {
    super.add(id);
  }

  leave(id: string): void {
    super.delete(id);
  }
}

const NONE: readonly string[] = [];

/** Rooms that an adapter knows by name only. */
export class HiddenRooms {
  /** By name. */
  readonly #members = new Map<string, Members>();
  /** By socket id; sockets that join together share an array. */
  readonly #joined = new Map<string, readonly string[]>();
  readonly #failed: (error: unknown) => void;
  #events: RoomEvents | undefined;

  /** @param failed receives what listeners of the adapter's room events throw */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  /**
   * Makes an adapter deliver to these rooms.
   *
   * @param refused is called when the application joins or leaves one of them
   * @returns ends it
   */
  attach(adapter: object, refused: (room: string) => void): () => void {
    const detach = extendRooms(adapter, this.#members, refused);
    const events = this.#events = roomEventsOf(adapter);
    for (const [room, members] of this.#members) {
      this.#emit("create-room", room);
      for (const id of members) this.#emit("join-room", room, id);
    }
    return () => {
      detach();
      if (this.#events !== events) return;
      for (const [room, members] of this.#members) {
        for (const id of members) this.#emit("leave-room", room, id);
        this.#emit("delete-room", room);
      }
      this.#events = undefined;
    };
  }

  /** The rooms that a socket is in. */
  of(id: string): readonly string[] {
    return this.#joined.get(id) ?? NONE;
  }

  /** @param rooms is kept, and must not be changed afterwards */
  join(id: string, rooms: readonly string[]): void {
    const before = this.of(id);
    const added = rooms.filter((room) => !before.includes(room));
    if (added.length === 0) return;
    this.#joined.set(id, before.length === 0 ? rooms : [...before, ...added]);
    for (const room of added) {
      let members = this.#members.get(room);
      if (!members) {
        this.#members.set(room, members = new Members());
        this.#emit("create-room", room);
      }
      members.enter(id);
      this.#emit("join-room", room, id);
    }
  }

  leave(id: string, rooms: readonly string[]): void {
    const before = this.of(id);
    const left = before.filter((room) => rooms.includes(room));
    if (left.length === 0) return;
    if (left.length === before.length) this.#joined.delete(id);
    else {
      this.#joined.set(id, before.filter((room) => !rooms.includes(room)));
    }
    for (const room of left) {
      const members = this.#members.get(room)!;
      members.leave(id);
      this.#emit("leave-room", room, id);
      if (members.size > 0) continue;
      this.#members.delete(room);
      this.#emit("delete-room", room);
    }
  }

  #emit(event: string, room: string, id?: string): void {
    try {
      if (id === undefined) this.#events?.emit(event, room);
      else this.#events?.emit(event, room, id);
    } catch (error) {
      this.#failed(error);
    }
  }
}
