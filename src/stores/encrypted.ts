/**
 * Encryption at rest: wraps an atomic store, so that what lies in it opens no
 * session. Session ids, client ids and users are stored as keyed hashes, data
 * and `meta` encrypted by AES-256-GCM. Times, lives and handles stay readable.
 *
 * ```ts
 * import { randomBytes } from "node:crypto";
 * import Koa from "koa";
 * import { Server } from "socket.io";
 * import { bridgeSession, SessionStore } from "@koa-io/session";
 * import { encrypted } from "@koa-io/session/encrypted";
 *
 * const keys = [randomBytes(32)]; // in an application: from its secrets
 * const store = encrypted(new SessionStore(), { keys });
 * await using bridge = bridgeSession(new Koa(), new Server(), {
 *   appKeys: ["secret"],
 *   key: "sid",
 *   store,
 * });
 * ```
 *
 * @module
 */
import { type AtomicStore, isAtomic, type SharedStore } from "../api/store.ts";
import { readKeys } from "./encrypted/keys.ts";
import { EncryptedProcessStore } from "./encrypted/process_store.ts";
import { EncryptedSharedStore } from "./encrypted/shared_store.ts";

export type * from "../api/store_contract.ts";

/** Options of {@linkcode encrypted}. */
export interface EncryptionOptions {
  /**
   * Keys of 32 random bytes, each as a `Uint8Array` or in base64url. The first
   * one encrypts, all of them decrypt. See {@linkcode encrypted} for how to
   * change keys.
   */
  readonly keys: readonly (string | Uint8Array)[];
}

/**
 * Wraps an atomic store, of this process or shared, so that a copy of what it
 * holds opens no session.
 *
 * To change keys without a logout, add the new key at the end of `keys` on all
 * nodes; then make it the first one on all nodes; and remove the former key
 * once no session of that time can be alive: after `maxAge`, as each write and
 * each extension moves a session to the first key.
 *
 * A value that does not decrypt is no session, and an `error` event of the
 * bridge.
 *
 * @param store a `SessionStore`, `SqliteStore`, `RedisStore`, `PostgresStore`, or another atomic store
 * @param options the keys
 * @returns a store with the same scope, for the option `store`
 * @throws {TypeError} for keys that are not 32 bytes, and for a store that is basic or encrypted already
 *
 * @example
 * ```ts
 * import { randomBytes } from "node:crypto";
 * import { SessionStore } from "@koa-io/session";
 * import { encrypted } from "@koa-io/session/encrypted";
 * import { assertEquals } from "@std/assert";
 *
 * const store = encrypted(new SessionStore(), { keys: [randomBytes(32)] });
 * assertEquals(store.scope, "process");
 * ```
 */
export function encrypted(
  store: SharedStore,
  options: EncryptionOptions,
): SharedStore;
/**
 * Wraps an atomic store; see the first form.
 *
 * @param store an atomic store
 * @param options the keys
 * @returns a store with the same scope, for the option `store`
 */
export function encrypted(
  store: AtomicStore,
  options: EncryptionOptions,
): AtomicStore;
export function encrypted(
  store: AtomicStore,
  options: EncryptionOptions,
): AtomicStore {
  if (typeof store !== "object" || store === null || !isAtomic(store)) {
    refuse(
      "an atomic store, such as SessionStore, SqliteStore, RedisStore or PostgresStore",
      typeof store === "object" && store !== null
        ? "a store without a scope"
        : String(store),
    );
  }
  if (store instanceof EncryptedProcessStore) {
    refuse("a store that is not encrypted yet", "an encrypted one");
  }
  const keys = readKeys((options as EncryptionOptions | undefined)?.keys);
  return store.scope === "shared"
    ? new EncryptedSharedStore(store as SharedStore, keys)
    : new EncryptedProcessStore(store, keys);
}

function refuse(wanted: string, received: string): never {
  throw new TypeError(
    `Cannot encrypt the store as store must be ${wanted}: received ${received}`,
  );
}
