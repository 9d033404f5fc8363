/**
 * Which sessions of the in-process store this bridge has seen. The store
 * reports each session that is added or removed, so only the few that were
 * stored without the bridge are kept here; the others cost nothing.
 *
 * @module
 */
import type { SessionStore } from "../stores/memory.ts";
import type { StoredRecord } from "../api/store.ts";

/** The seen sessions of a {@linkcode SessionStore}. */
export class SeenSessions {
  readonly #store: SessionStore;
  readonly #unseen: Set<string>;
  readonly #onSet: (store: SessionStore, sid: string, isNew: boolean) => void;

  constructor(store: SessionStore) {
    const unseen = this.#unseen = new Set(store.keys());
    this.#store = store;
    this.#onSet = (_store, sid, isNew) => {
      // without a read of the store, which would remove an expired session
      if (isNew) unseen.add(sid);
    };
    store.on("set", this.#onSet);
  }

  /** Number of sessions that were seen. */
  get size(): number {
    return this.#store.size - this.#unseen.size;
  }

  /** Whether the session was seen; it may have ended, or never existed. */
  has(sid: string): boolean {
    return !this.#unseen.has(sid);
  }

  /** The stored record of a live session that was seen. */
  read(sid: string): StoredRecord | undefined {
    return this.has(sid) && this.#store.has(sid)
      ? this.#store.read(sid)
      : undefined;
  }

  /** Records that a session was seen. */
  add(sid: string): void {
    this.#unseen.delete(sid);
  }

  /** Forgets a session that ended, unless another is stored under its id. */
  delete(sid: string): void {
    if (!this.#store.has(sid)) this.#unseen.delete(sid);
  }

  close(): void {
    this.#store.off("set", this.#onSet);
  }
}
