/**
 * The store contract, with its times and what tells stores and records apart.
 *
 * @module
 */
import type { AtomicStore, StoredRecord } from "./store_contract.ts";

export type * from "./store_contract.ts";

/** How long after its end a record may still be shown, in ms; koa-session's own margin. */
export const EXPIRED_GRACE = 10_000;

/** How long a regenerated session can be found under its old id by those under way, in ms. */
export const MOVED_FOR = 600_000;

/** How long a session with a browser-session cookie lives without activity, in ms: koa-session's. */
export const ONE_DAY = 86_400_000;

/** Whether a store says that it is of the atomic tier. */
export function isAtomic(store: object): store is AtomicStore {
  const { scope } = store as { readonly scope?: unknown };
  return scope === "process" || scope === "shared";
}

/** Whether a record that was read is of a session that lives. */
export function isAlive(
  record: StoredRecord | undefined,
): record is StoredRecord {
  return record !== undefined && record.expires > Date.now();
}
