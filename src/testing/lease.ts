/**
 * Holding sessions, for the rules of the shared tier.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { AcquireResult, SharedStore, StoredRecord } from "../api/store.ts";
import { counted, id, within } from "./kit.ts";

/** A hold, and a wait, that nobody reaches, in ms. */
export const LONG = 10_000;

/** A hold that a test can wait for, in ms. */
export const SHORT = 300;

/** When a call that should come back at once counts as hanging, in ms. */
export const SOON = 3_000;

/** Long enough for a call to have reached the store, in ms. */
export const REACHED = 100;

/** Takes the lease, which must be free, and says what with. */
export async function hold(
  store: SharedStore,
  sid: string,
  holdMs = LONG,
): Promise<{ token: string; record: StoredRecord }> {
  const token = id();
  const acquired = await within(SOON, store.acquire(sid, token, holdMs, SOON));
  return { token, record: granted(acquired) };
}

export function granted(acquired: AcquireResult): StoredRecord {
  assert.equal(acquired.status, "granted");
  return (acquired as { record: StoredRecord }).record;
}

export const status = ({ status }: { readonly status: string }) => status;

/** Adds one, `times` times, each under a lease. */
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
