/**
 * The gate at an adapter's `restoreSession`. Socket.IO's connection state
 * recovery goes past every middleware and sends what was missed before anybody
 * is asked, so the question is put here: does the session still stand?
 *
 * @module
 */
import type { Namespace } from "socket.io";
import { waitAtMost } from "../base/async.ts";
import type { TrackedSession } from "../identity/registry.ts";
import { belongTo, hashInRooms } from "./rooms.ts";

/** What an adapter restores. */
interface Restored {
  readonly sid: string;
  readonly pid: string;
  readonly rooms: Iterable<unknown>;
}

interface RestoringAdapter {
  restoreSession(pid: string, offset: string): Promise<Restored | null> | null;
  readonly sessions?: { delete?(pid: string): unknown };
}

/** How many sockets may stand between the gate and their connection. */
const MAX_ADMITTED = 10_000;

/** See the module's text. */
export class RecoveryGate {
  readonly #limit: number;
  readonly #standing: (hash: string) => Promise<TrackedSession | undefined>;
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
   * @param guarded is told of each of them
   */
  guard(
    namespace: Namespace,
    guarded: (adapter: object) => void,
  ): () => void {
    const wrap = <A extends object>(adapter: A): A => {
      guarded(adapter);
      return this.#wrap(adapter);
    };
    let adapter = wrap(namespace.adapter);
    Object.defineProperty(namespace, "adapter", {
      configurable: true,
      enumerable: true,
      get: () => adapter,
      set: (next) => adapter = wrap(next),
    });
    return () => {
      Reflect.deleteProperty(adapter, "restoreSession");
      Object.defineProperty(namespace, "adapter", {
        configurable: true,
        enumerable: true,
        writable: true,
        value: adapter,
      });
    };
  }

  /** What a recovered socket was let through with; asked once. */
  admitted(socketId: string): TrackedSession | undefined {
    const session = this.#admitted.get(socketId);
    this.#admitted.delete(socketId);
    return session;
  }

  #wrap<A>(adapter: A): A {
    const restoring = adapter as unknown as RestoringAdapter;
    const restore = restoring.restoreSession;
    if (typeof restore !== "function") return adapter;
    Object.defineProperty(adapter, "restoreSession", {
      configurable: true,
      writable: true,
      value: (pid: string, offset: string) => {
        const restored = restore.call(adapter, pid, offset);
        // the adapter in memory would restore the same one again, to whoever asks meanwhile
        restoring.sessions?.delete?.(pid);
        return this.#restore(restored);
      },
    });
    return adapter;
  }

  async #restore(
    answer: Promise<Restored | null> | null,
  ): Promise<Restored | null> {
    // what is not there in time is as good as nothing: the client connects anew
    const restored = await waitAtMost(Promise.resolve(answer), this.#limit);
    if (!restored) return null;
    const hash = hashInRooms(restored.rooms);
    const session = hash === undefined ? undefined : await this.#standing(hash);
    if (hash === undefined) return restored;
    if (!session) return null;
    // it may be somebody else's by now, who did not miss what was sent
    const { clientId, user } = session;
    if (!belongTo(restored.rooms, clientId, user)) return null;
    if (this.#admitted.size >= MAX_ADMITTED) {
      this.#admitted.delete(this.#admitted.keys().next().value!);
    }
    this.#admitted.set(restored.sid, session);
    return restored;
  }
}
