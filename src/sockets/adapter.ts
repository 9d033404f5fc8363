/**
 * Everything that the bridge relies on in adapters of Socket.IO beyond their
 * public types. To be checked again at each release of socket.io-adapter and of
 * the adapters built on it; last checked with socket.io-adapter 2.5.8,
 * `@socket.io/redis-adapter` 8.3.0, `@socket.io/redis-streams-adapter` 0.3.1
 * and `@socket.io/cluster-adapter` 0.3.0.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import type { Namespace } from "socket.io";
import { override } from "../base/override.ts";
import { isBridgeRoom } from "./room_names.ts";

/** What an adapter persists of a socket, and restores: the type `Session` of socket.io-adapter, in part. */
export interface PersistedSocket {
  readonly sid: string;
  readonly pid: string;
  readonly rooms: readonly unknown[];
}

/** The answer of `restoreSession`. */
export type RestoreResult = Promise<PersistedSocket | null> | null;

/** What an adapter emits when a room gets its first member or loses its last: public since 3.1. */
export interface RoomEvents {
  emit(event: string, ...args: unknown[]): unknown;
}

/** An adapter emits its room events on itself. */
export function roomEventsOf(adapter: object): RoomEvents {
  return adapter as RoomEvents;
}

/**
 * Calls `attach` with the adapter that a namespace has, and with each that it
 * is given. `adapter` is a public, writable property: `io.adapter(…)` assigns a
 * new one to each namespace, and does not close the former one.
 *
 * @param attach is called before the adapter is used, and returns what detaches it
 * @returns detaches the adapter in use
 */
export function watchAdapter(
  namespace: Namespace,
  attach: (adapter: object) => () => void,
): () => void {
  let adapter = namespace.adapter;
  let detach = attach(adapter);
  Object.defineProperty(namespace, "adapter", {
    configurable: true,
    enumerable: true,
    get: () => adapter,
    set: (next) => {
      detach();
      adapter = next;
      detach = attach(adapter);
    },
  });
  return () => {
    detach();
    Object.defineProperty(namespace, "adapter", {
      configurable: true,
      enumerable: true,
      writable: true,
      value: adapter,
    });
  };
}

/**
 * Adds rooms that an adapter delivers to and does not list. `rooms` is a public
 * Map of Sets; every adapter finds the members of a room by `rooms.has` and
 * `rooms.get`, and lists rooms by iteration. `addAll` and `del`, public since
 * 1.0, are the only ways into a room and out of it; `socket.join`,
 * `socketsJoin` and `socketsLeave` of this node or another end there.
 * `socketRooms` and `delAll` read `sids`, where the added rooms are not.
 *
 * @param hidden the added rooms, by name
 * @param refused is called when the application joins or leaves one: nothing happens
 * @returns removes them
 */
export function extendRooms(
  adapter: object,
  hidden: ReadonlyMap<string, ReadonlySet<string>>,
  refused: (room: string) => void,
): () => void {
  const { rooms } = adapter as { readonly rooms: Map<unknown, unknown> };
  // not derived from the base class: it can deliver to no room by name
  if (!(rooms instanceof Map)) return () => {};
  const { get, has } = rooms;
  // on the Map itself, as an adapter may hold on to it
  Object.defineProperties(rooms, {
    get: {
      configurable: true,
      value: (room: string) => get.call(rooms, room) ?? hidden.get(room),
    },
    has: {
      configurable: true,
      value: (room: string) => has.call(rooms, room) || hidden.has(room),
    },
  });
  const removeAddAll = override(
    adapter,
    "addAll",
    (addAll: (id: string, rooms: Set<string>) => unknown) => (id, rooms) => {
      const allowed = new Set<string>();
      for (const room of rooms) {
        if (isBridgeRoom(room)) refused(room);
        else allowed.add(room);
      }
      return addAll(id, allowed);
    },
  );
  const removeDel = override(
    adapter,
    "del",
    (del: (id: string, room: string) => unknown) => (id, room) =>
      isBridgeRoom(room) ? refused(room) : del(id, room),
  );
  return () => {
    Reflect.deleteProperty(rooms, "get");
    Reflect.deleteProperty(rooms, "has");
    removeAddAll();
    removeDel();
  };
}

/** What decides of connection state recovery. */
export interface RecoveryHooks {
  /** @returns what is persisted; `undefined` persists nothing */
  persist(state: PersistedSocket): PersistedSocket | undefined;
  /** @returns what is restored, given the adapter's own answer */
  restore(answer: RestoreResult): Promise<PersistedSocket | null>;
}

/**
 * Intercepts `persistSession` and `restoreSession`, public since 4.6; the base
 * class of adapters does nothing and returns `null`. Members of a persisted
 * object that an adapter does not know are kept by those in memory and by
 * redis-streams. `sessions` is private to the adapter in memory: a map by
 * private id.
 *
 * @returns removes the interception
 */
export function interceptRecovery(
  adapter: object,
  hooks: RecoveryHooks,
): () => void {
  const { sessions, persistSession, restoreSession } = adapter as {
    readonly sessions?: { delete?(pid: string): unknown };
    readonly persistSession?: unknown;
    readonly restoreSession?: unknown;
  };
  if (
    typeof persistSession !== "function" ||
    typeof restoreSession !== "function"
  ) return () => {};
  const removePersist = override(
    adapter,
    "persistSession",
    (persist: (state: PersistedSocket) => unknown) => (state) => {
      const persisted = hooks.persist(state);
      return persisted && persist(persisted);
    },
  );
  const removeRestore = override(
    adapter,
    "restoreSession",
    (restore: (pid: string, offset: string) => RestoreResult) =>
    (pid, offset) => {
      const answer = restore(pid, offset);
      // the adapter in memory keeps the entry: a second request with this id would be restored too
      sessions?.delete?.(pid);
      return hooks.restore(answer);
    },
  );
  return () => {
    removePersist();
    removeRestore();
  };
}

/**
 * Whether an adapter reaches other processes. Those in memory inherit
 * `serverSideEmit` (since 4.1) and `serverCount` (since 4.5) from the base
 * class of adapters, which warns and counts one server; all others override
 * at least one of the two.
 */
export function isClusterAdapter(adapter: object): boolean {
  let base = adapter;
  for (
    let next = Object.getPrototypeOf(adapter);
    next && next !== EventEmitter.prototype && next !== Object.prototype;
    next = Object.getPrototypeOf(next)
  ) base = next;
  return ["serverCount", "serverSideEmit"].some((method) =>
    Reflect.get(adapter, method) !== Reflect.get(base, method)
  );
}
