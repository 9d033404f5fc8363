/** Records, and the leases on them, for tests that call a store without a bridge. */
import type {
  AcquireResult,
  SessionRecord,
  StoredRecord,
} from "@koa-io/session";
import { assert } from "@std/assert";
import { randomUUID } from "node:crypto";

/** The lifetime of these records, in ms. */
export const HOUR = 3_600_000;

/** A record with the fields that matter to a test. */
export function record(over: Partial<SessionRecord> = {}): SessionRecord {
  return {
    data: '{"n":0}',
    maxAge: HOUR,
    expires: Date.now() + HOUR,
    absoluteEnd: undefined,
    cookie: undefined,
    clientId: undefined,
    settled: false,
    user: undefined,
    created: undefined,
    authenticatedAt: undefined,
    lastUsed: undefined,
    arrived: undefined,
    meta: undefined,
    handle: undefined,
    ...over,
  };
}

/** The counter in the data of a record. */
export function count({ data }: { readonly data: string }): number {
  return (JSON.parse(data) as { n: number }).n;
}

/** A unique id. */
export function newId(what = "sid"): string {
  return `${what}-${randomUUID()}`;
}

/** How long a lease of these tests is held, in ms. */
export const HOLD = 5_000;

/** The record of a lease that was granted. */
export function granted(acquired: AcquireResult): StoredRecord {
  assert(acquired.status === "granted", acquired.status);
  return acquired.record;
}
