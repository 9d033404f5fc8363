/**
 * What the stores of this package report by `on`, beyond the store contract.
 *
 * @module
 */

/** What a store reports. */
export interface StoreReports {
  /** Whether `removed` names each session that is removed, expired ones included. */
  readonly allRemovals: boolean;
  /** Whether `error` reports failures that no call returns. */
  readonly errors: boolean;
}

const known = new WeakMap<object, StoreReports>();
const NONE: StoreReports = { allRemovals: false, errors: false };

/** Declares what a store reports. */
export function declareReports(store: object, reports: StoreReports): void {
  known.set(store, reports);
}

/** What a store reports; nothing where it has not declared it. */
export function reportsOf(store: object): StoreReports {
  return known.get(store) ?? NONE;
}
