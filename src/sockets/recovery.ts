/**
 * A check in an adapter's `restoreSession`. Socket.IO's connection state
 * recovery bypasses every middleware and sends the missed packets before any
 * listener runs, so this is the place to check that the session is still alive.
 *
 * @module
 */
import type { Namespace } from "socket.io";
import { waitAtMost } from "../base/async.ts";
import { isAlive } from "../api/store.ts";
import type { ClientBindings } from "../identity/client_binding.ts";
import type { SessionRegistry, TrackedSession } from "../identity/registry.ts";
import type { Transactions } from "../transaction/transactions.ts";
import { belongTo, hashInRooms } from "./rooms.ts";
import { interceptRestore, type RestoredSocket } from "./socket_io.ts";

/** How many sockets may be restored and not yet connected. */
const MAX_ADMITTED = 10_000;

/** What the check of recoveries needs. */
export interface RecoveryDeps {
  readonly registry: SessionRegistry;
  readonly transactions: Transactions;
  /** How long the adapter may take, in ms. */
  readonly storeTimeout: number;
  readonly bindings: ClientBindings;
}

/** Lets a socket be recovered only into a session that is still alive. */
export class RecoveryGate {
  readonly #deps: RecoveryDeps;
  /** By socket id. */
  readonly #admitted = new Map<string, TrackedSession>();

  constructor(deps: RecoveryDeps) {
    this.#deps = deps;
  }

  /**
   * Guards the adapter that the namespace has, and each that it is given.
   *
   * @param onAdapter is called with each of them
   * @returns removes the guard
   */
  guard(
    namespace: Namespace,
    onAdapter: (adapter: object) => void,
  ): () => void {
    return interceptRestore(
      namespace,
      onAdapter,
      (answer) => this.#restore(answer),
    );
  }

  /** The session that a recovered socket was admitted with; returned once. */
  admitted(socketId: string): TrackedSession | undefined {
    const session = this.#admitted.get(socketId);
    this.#admitted.delete(socketId);
    return session;
  }

  async #restore(
    answer: Promise<RestoredSocket | null> | null,
  ): Promise<RestoredSocket | null> {
    // an answer that is late counts as none: the client then connects without recovery
    const { storeTimeout } = this.#deps;
    const restored = await waitAtMost(Promise.resolve(answer), storeTimeout);
    if (!restored) return null;
    const hash = hashInRooms(restored.rooms);
    const session = hash === undefined
      ? undefined
      : await this.#liveSession(hash);
    if (hash === undefined) return restored;
    if (!session) return null;
    // bound to another client or user by now, for which the missed packets were not meant
    const { clientId, user } = session;
    if (!belongTo(restored.rooms, clientId, user)) return null;
    if (this.#admitted.size >= MAX_ADMITTED) {
      this.#admitted.delete(this.#admitted.keys().next().value!);
    }
    this.#admitted.set(restored.sid, session);
    return restored;
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
