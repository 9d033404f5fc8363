/**
 * A check in an adapter's `restoreSession`. Socket.IO's connection state
 * recovery bypasses every middleware and sends the missed packets before any
 * listener runs, so this is the place to check that the session is still alive.
 * The session of a persisted socket is noted when it is persisted, as an
 * application may take the socket out of its rooms.
 *
 * @module
 */
import type { Namespace, Socket } from "socket.io";
import { waitAtMost } from "../base/async.ts";
import { isAlive } from "../api/store.ts";
import type { ClientBindings } from "../identity/client_binding.ts";
import type { SessionRegistry, TrackedSession } from "../identity/registry.ts";
import type { Transactions } from "../transaction/transactions.ts";
import {
  interceptRecovery,
  type PersistedSocket,
  type RestoreResult,
} from "./adapter.ts";
import { isBridgeRoom } from "./room_names.ts";
import type { SessionRooms } from "./rooms.ts";
import type { SocketExtension } from "./socket_extension.ts";

/** How many sockets may be restored and not yet connected. */
export const MAX_ADMITTED = 10_000;

/** The member of a persisted socket that holds the note. */
const NOTE = "koa-io-session";

/** The session of a persisted socket; empty for a guest. */
interface Note {
  /** The hash of its id. */
  readonly session?: string;
  /** The rooms of the session's client and user: these names are keyed. */
  readonly client?: string;
  readonly user?: string;
}

/** What the check of recoveries needs. */
export interface RecoveryDeps {
  readonly registry: SessionRegistry;
  readonly transactions: Transactions;
  /** How long the adapter may take, in ms. */
  readonly storeTimeout: number;
  readonly bindings: ClientBindings;
  readonly extension: SocketExtension;
  readonly rooms: SessionRooms;
}

/** Lets a socket be recovered only into a session that is still alive. */
export class RecoveryGate {
  readonly #deps: RecoveryDeps;
  /** By socket id. */
  readonly #admitted = new Map<string, TrackedSession>();
  /** Connections whose sockets are not persisted. */
  readonly #refused = new WeakSet<object>();

  constructor(deps: RecoveryDeps) {
    this.#deps = deps;
  }

  /**
   * Guards an adapter of a namespace.
   *
   * @returns removes the guard
   */
  guard(namespace: Namespace, adapter: object): () => void {
    return interceptRecovery(adapter, {
      persist: (state) => this.#persist(namespace, state),
      restore: (answer) => this.#restore(answer),
    });
  }

  /**
   * Refuses a later recovery of a socket, and of the others of its connection:
   * nothing of them is persisted. To be called before the connection is closed.
   */
  refuse(socket: Socket): void {
    this.#refused.add(socket.conn);
  }

  /** The session that a recovered socket was admitted with; returned once. */
  admitted(socketId: string): TrackedSession | undefined {
    const session = this.#admitted.get(socketId);
    this.#admitted.delete(socketId);
    return session;
  }

  #persist(
    { sockets }: Namespace,
    state: PersistedSocket,
  ): PersistedSocket | undefined {
    const socket = sockets.get(state.sid);
    if (!socket || this.#refused.has(socket.conn)) return undefined;
    const { extension, rooms } = this.#deps;
    const session = extension.sessionOf(socket);
    return {
      ...state,
      // the packets that it misses are selected by its rooms
      rooms: [...state.rooms, ...rooms.of(socket)],
      [NOTE]: session ? this.#noteOf(session) : {},
    } as PersistedSocket;
  }

  #noteOf({ hash, clientId, user }: TrackedSession): Note {
    const { names } = this.#deps.rooms;
    return {
      session: hash,
      client: names.client(clientId),
      ...user !== undefined && { user: names.user(user) },
    };
  }

  async #restore(answer: RestoreResult): Promise<PersistedSocket | null> {
    // an answer that is late counts as none: the client then connects without recovery
    const { storeTimeout } = this.#deps;
    const restored = await waitAtMost(Promise.resolve(answer), storeTimeout);
    const note = restored && Reflect.get(restored, NOTE) as Note | undefined;
    // persisted without this bridge: its session is unknown
    if (!note) return null;
    if (note.session !== undefined) {
      // the option is to judge the handshake, of which an adapter is told nothing
      if (this.#deps.bindings.validity) return null;
      const session = await this.#liveSession(note.session);
      if (!session) return null;
      // bound to another client or user by now, for which the missed packets were not meant
      const { client, user } = this.#noteOf(session);
      if (note.client !== client || note.user !== user) return null;
      if (this.#admitted.size >= MAX_ADMITTED) {
        this.#admitted.delete(this.#admitted.keys().next().value!);
      }
      this.#admitted.set(restored.sid, session);
    }
    // the bridge's rooms are those of its session when it is connected
    const rooms = restored.rooms.filter((room) => !isBridgeRoom(room));
    return { ...restored, rooms };
  }

  /** The session with this hash of its id, if it is still alive. */
  async #liveSession(hash: string): Promise<TrackedSession | undefined> {
    const { registry, bindings, transactions: { lookup } } = this.#deps;
    const sid = registry.byHash(hash)?.sid ?? await lookup.byHash(hash);
    if (sid === undefined) return undefined;
    const record = await lookup.load(sid);
    if (!isAlive(record)) return undefined;
    return bindings.track(sid, record);
  }
}
