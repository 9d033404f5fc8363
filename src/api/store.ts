/**
 * The store contract, its time limits, and predicates on stores and records.
 *
 * @module
 */
import type { AtomicStore, StoredRecord } from "./store_contract.ts";

export type * from "./store_contract.ts";

/** How long after its end a store may still return a record, in ms; koa-session's own margin. */
export const EXPIRED_GRACE = 10_000;

/** How long a regenerated session can be found under its old id, in ms: for requests already sent with it. */
export const MOVED_FOR = 600_000;

/** How long a session with a browser-session cookie lives without activity, in ms: as in koa-session. */
export const ONE_DAY = 86_400_000;

/** Whether a store is of the atomic tier: it has a `scope`. */
export function isAtomic(store: object): store is AtomicStore {
  const { scope } = store as { readonly scope?: unknown };
  return scope === "process" || scope === "shared";
}

/** Whether a record exists and has not expired. */
export function isAlive(
  record: StoredRecord | undefined,
): record is StoredRecord {
  return record !== undefined && record.expires > Date.now();
}
