/**
 * Helpers for leases, for the rules of the shared tier.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { AcquireResult, SharedStore, StoredRecord } from "../api/store.ts";
import { counted, id, within } from "./kit.ts";

/** A time for leases and waits that is never reached, in ms. */
export const LONG = 10_000;

/** The time of a lease that a test can wait for, in ms. */
export const SHORT = 300;

/** After this time, a call that should return at once counts as hanging, in ms. */
export const SOON = 3_000;

/** A time within which a call reaches the store, in ms. */
export const REACHED = 100;

/** Takes the lease, which must be free; returns its token and the record. */
export async function hold(
  store: SharedStore,
  sid: string,
  holdMs = LONG,
): Promise<{ token: string; record: StoredRecord }> {
  const token = id();
  const acquired = await within(SOON, store.acquire(sid, token, holdMs, SOON));
  return { token, record: granted(acquired) };
}

/** The record of a granted lease. */
export function granted(acquired: AcquireResult): StoredRecord {
  assert.equal(acquired.status, "granted");
  return (acquired as { record: StoredRecord }).record;
}

export const status = ({ status }: { readonly status: string }) => status;

/** Increments the count `times` times, each under a lease. */
export async function add(
  store: SharedStore,
  sid: string,
  times: number,
): Promise<void> {
  for (let i = 0; i < times; i++) {
    const token = id();
    const stored = granted(await store.acquire(sid, token, LONG, 6 * LONG));
    assert.equal(
      status(await store.commit(sid, token, counted(stored))),
      "done",
    );
  }
}
