/**
 * Which sessions of a store in this process were met. Such a store tells of
 * each that comes and goes: to remember the few that were put there past the
 * bridge is enough, and costs the others nothing.
 *
 * @module
 */
import type { SessionStore } from "../stores/memory.ts";
import type { StoredRecord } from "../api/store.ts";

/** See the module's text. */
export class SeenSessions {
  readonly #store: SessionStore;
  readonly #strangers: Set<string>;
  readonly #came: (store: SessionStore, sid: string, isNew: boolean) => void;

  constructor(store: SessionStore) {
    const strangers = this.#strangers = new Set(store.keys());
    this.#store = store;
    this.#came = (_store, sid, isNew) => {
      // not asked whether it is there still: to ask would remove what has expired
      if (isNew) strangers.add(sid);
    };
    store.on("set", this.#came);
  }

  /** How many of the sessions were met. */
  get size(): number {
    return this.#store.size - this.#strangers.size;
  }

  /** Whether the session was met; it may be gone, or never have been. */
  has(sid: string): boolean {
    return !this.#strangers.has(sid);
  }

  /** What is stored of a session that was met and lives. */
  read(sid: string): StoredRecord | undefined {
    return this.has(sid) && this.#store.has(sid)
      ? this.#store.read(sid)
      : undefined;
  }

  /** A session is met. */
  add(sid: string): void {
    this.#strangers.delete(sid);
  }

  /** A session is gone, if nobody has put another there under its id. */
  delete(sid: string): void {
    if (!this.#store.has(sid)) this.#strangers.delete(sid);
  }

  close(): void {
    this.#store.off("set", this.#came);
  }
}
