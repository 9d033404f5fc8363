/**
 * The rule of the atomic tier on reading all sessions, for stores that can.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { AtomicStore } from "../api/store.ts";
import { ending, id, pause, record, rule, type StoreRule } from "./kit.ts";

/** The life of the session that expires, in ms. */
const SHORT = 200;

/** Stores without `scan` keep it: the member is optional. */
export const SCAN_RULES: readonly StoreRule[] = [
  rule<AtomicStore>(
    "atomic",
    "scan: each live session is in a batch, with its record",
    async (store) => {
      if (!store.scan) return;
      const expected = new Map<string, string>();
      for (let n = 0; n < 25; n++) {
        const sid = id(n % 2 ? "%{é}-" : "");
        const data = JSON.stringify({ n });
        await store.write(sid, record({ data }), null);
        expected.set(sid, data);
      }
      const [ended, expired] = [id(), id()];
      await store.write(ended, record(), null);
      await store.destroy(ended);
      await store.write(expired, ending(SHORT), null);
      await pause(SHORT * 1.5);
      const found = new Map<string, string>();
      for await (const batch of store.scan(10)) {
        for (const { sid, record } of batch) {
          assert.ok(record.expires > Date.now(), "an expired session is found");
          found.set(sid, record.data);
        }
      }
      for (const [sid, data] of expected) {
        assert.equal(found.get(sid), data, "a live session is not found");
      }
      assert.ok(!found.has(ended), "a session that ended is found");
      assert.ok(!found.has(expired), "a session that expired is found");
    },
  ),
];
