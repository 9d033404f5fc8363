/**
 * Reading all sessions of a prefix, by `SCAN` on each node.
 *
 * @module
 */
import {
  isAlive,
  type ScannedSession,
  type StoredRecord,
} from "../../api/store.ts";
import type { Keyspace } from "./keys.ts";
import { unescapeId } from "./record.ts";
import { SCAN } from "./scripts.ts";

/**
 * The live sessions, in batches of about `limit`.
 *
 * @param read reads a session, and completes the moves of a cluster
 */
export async function* scanSessions(
  keyspace: Keyspace,
  read: (sid: string) => Promise<StoredRecord | undefined>,
  limit: number,
): AsyncGenerator<readonly ScannedSession[]> {
  const start = keyspace.records("s");
  for (const node of await keyspace.connection.nodes()) {
    let cursor = "0";
    do {
      // the slot of a key is on one node of a cluster
      const [keys, args] = node.cluster
        ? [[], [cursor, String(limit), node.prefix + start]]
        : [[start], [cursor, String(limit)]];
      const [next, rests] = await node.run(SCAN, keys, args) as [
        string,
        string[],
      ];
      const sids = rests.map((rest) => unescapeId(String(rest).slice(1, -1)));
      const records = await Promise.all(sids.map((sid) => read(sid)));
      yield sids.flatMap((sid, i) => {
        const record = records[i];
        return isAlive(record) ? [{ sid, record }] : [];
      });
      cursor = String(next);
    } while (cursor !== "0");
  }
}
