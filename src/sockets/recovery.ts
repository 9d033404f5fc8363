/**
 * A check in an adapter's `restoreSession`. Socket.IO's connection state
 * recovery bypasses every middleware and sends the missed packets before any
 * listener runs, so this is the place to check that the session still stands.
 *
 * @module
 */
import type { Namespace } from "socket.io";
import { waitAtMost } from "../base/async.ts";
import type { TrackedSession } from "../identity/registry.ts";
import { belongTo, hashInRooms } from "./rooms.ts";
import { interceptRestore, type RestoredSocket } from "./socket_io.ts";

/** How many sockets may be restored and not yet connected. */
const MAX_ADMITTED = 10_000;

/** Lets a socket be recovered only into a session that still stands. */
export class RecoveryGate {
  readonly #limit: number;
  readonly #standing: (hash: string) => Promise<TrackedSession | undefined>;
  /** By socket id. */
  readonly #admitted = new Map<string, TrackedSession>();

  /**
   * @param limit how long the adapter may take, in ms
   * @param standing finds the session of this hash, if it still stands
   */
  constructor(
    limit: number,
    standing: (hash: string) => Promise<TrackedSession | undefined>,
  ) {
    this.#limit = limit;
    this.#standing = standing;
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
    const restored = await waitAtMost(Promise.resolve(answer), this.#limit);
    if (!restored) return null;
    const hash = hashInRooms(restored.rooms);
    const session = hash === undefined ? undefined : await this.#standing(hash);
    if (hash === undefined) return restored;
    if (!session) return null;
    // bound to another client or user by now: the missed packets were not meant for that one
    const { clientId, user } = session;
    if (!belongTo(restored.rooms, clientId, user)) return null;
    if (this.#admitted.size >= MAX_ADMITTED) {
      this.#admitted.delete(this.#admitted.keys().next().value!);
    }
    this.#admitted.set(restored.sid, session);
    return restored;
  }
}
