/**
 * An encrypted store of many processes.
 *
 * @module
 */
import { SessionStoreError } from "../../api/errors.ts";
import type {
  AcquireResult,
  Awaitable,
  BeginOptions,
  BeginResult,
  CommitResult,
  SessionRecord,
  SharedStore,
  Version,
} from "../../api/store.ts";
import { generateUid } from "../../base/ids.ts";
import type { StoreKey } from "./keys.ts";
import { EncryptedProcessStore } from "./process_store.ts";

/** How long a lock on a client is held and waited for at most, in ms. */
const LOCK_WAIT = 5_000;
/** The pause between two attempts to take it, in ms. */
const LOCK_PAUSE = 10;

/** An encrypted store with leases. */
export class EncryptedSharedStore extends EncryptedProcessStore
  implements SharedStore {
  declare readonly scope: "shared";
  readonly #store: SharedStore;
  /** The same on all nodes, whatever the order of their keys. */
  readonly #lockKey: StoreKey;

  constructor(store: SharedStore, keys: readonly StoreKey[]) {
    super(store, keys);
    this.#store = store;
    this.#lockKey = keys.reduce((a, b) => a.name < b.name ? a : b);
  }

  /**
   * While keys change, the sessions of a client may be indexed by either key:
   * begins for it then run one after another on all nodes.
   */
  override begin(
    sid: string,
    record: SessionRecord,
    options?: BeginOptions,
  ): Awaitable<BeginResult> {
    const begin = () => super.begin(sid, record, options);
    const { clientId } = record;
    return this.sealing.keys.length === 1 || clientId === undefined
      ? begin()
      : this.#alone(`client:${clientId}`, begin);
  }

  async acquire(
    sid: string,
    token: string,
    holdMs: number,
    waitMs: number,
  ): Promise<AcquireResult> {
    const end = performance.now() + waitMs;
    let waited = false;
    const acquire = async (id: string): Promise<AcquireResult> => {
      const left = Math.max(0, end - performance.now());
      const result = await this.#store.acquire(id, token, holdMs, left);
      if (result.status === "missing") waited ||= result.waited;
      if (result.status !== "granted") return result;
      const { record } = this.sealing.open(id, result.record) ?? {};
      if (record) return { ...result, record };
      // what does not decrypt is no session
      await this.#store.commit(id, token, undefined);
      return { status: "missing", waited };
    };
    const result = await this.sessions.eachId(
      sid,
      acquire,
      ({ status }) => status !== "missing",
    );
    return result.status === "missing" ? { status: "missing", waited } : result;
  }

  async commit(
    sid: string,
    token: string,
    record: SessionRecord | undefined,
  ): Promise<CommitResult> {
    const sealed = record && this.sealing.seal(sid, record);
    const committed = await this.#store.commit(
      this.sealing.idOf(sid),
      token,
      sealed,
    );
    if (this.sealing.keys.length === 1 || committed.status !== "missing") {
      return committed;
    }
    if (!record) {
      return await this.sessions.eachId(
        sid,
        (id) => this.#store.commit(id, token, undefined),
        ({ status }) => status !== "missing",
      );
    }
    const moved = await this.sessions.rekey(sid, record, { token });
    if (!moved || moved.status === "missing" || moved.status === "taken") {
      return { status: "missing" };
    }
    if (moved.status === "lost") return { status: "lost" };
    await this.#store.commit(this.sealing.idOf(sid), token, undefined);
    return { status: "done", version: moved.version };
  }

  async tryLock(
    name: string,
    token: string,
    holdMs: number,
  ): Promise<boolean> {
    return await this.#store.tryLock(this.#lockOf(name), token, holdMs);
  }

  async unlock(name: string, token: string): Promise<void> {
    await this.#store.unlock(this.#lockOf(name), token);
  }

  async byHash(hash: string): Promise<string | undefined> {
    return await this.sidOfHash(hash);
  }

  async versions(
    sids: readonly string[],
  ): Promise<readonly (Version | undefined)[]> {
    const { keys } = this.sealing;
    const order = keys.length === 1 ? keys : [...keys, keys[0]!];
    const versions = new Map<string, Version | undefined>();
    let left = [...new Set(sids)];
    for (const key of order) {
      if (left.length === 0) break;
      const ids = left.map((sid) => this.sealing.idOf(sid, key));
      const found = await this.#store.versions(ids);
      left.forEach((sid, i) => versions.set(sid, found[i]));
      left = left.filter((sid) => versions.get(sid) === undefined);
    }
    return sids.map((sid) => versions.get(sid));
  }

  /** @throws {SessionStoreError} when others hold the lock for all of the time */
  async #alone<T>(name: string, act: () => Awaitable<T>): Promise<T> {
    const token = generateUid();
    const end = performance.now() + LOCK_WAIT;
    while (!await this.tryLock(name, token, LOCK_WAIT)) {
      if (performance.now() > end) {
        throw new SessionStoreError(
          "Cannot begin the session as others begin one for its client",
        );
      }
      await new Promise((resolve) => setTimeout(resolve, LOCK_PAUSE));
    }
    try {
      return await act();
    } finally {
      await this.unlock(name, token);
    }
  }

  #lockOf(name: string): string {
    return this.#lockKey.hash("lock", name);
  }
}
