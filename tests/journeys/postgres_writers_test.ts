import { assertEquals } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import {
  browsersAt,
  spawnNodes,
  stopNodes,
} from "../support/cluster/processes.ts";
import type { Postgres } from "../support/postgres/cluster.ts";
import {
  itNeedsPostgres,
  withOwnPostgres,
} from "../support/postgres/server.ts";
import { newTable } from "../support/postgres/stores.ts";

const [PROCESSES, SOCKETS, INCREMENTS] = [3, 20, 50];

let server: Postgres;

describe("Many writers on many processes, on PostgreSQL", () => {
  withOwnPostgres((started) => server = started);
  afterEach(stopNodes);

  itNeedsPostgres(
    "3 processes with 20 sockets of 50 increments each, and HTTP among them, count exactly",
    async () => {
      const { address } = server;
      const nodes = await spawnNodes(PROCESSES, {
        port: address.port,
        postgres: { address, table: newTable() },
        // all wait for one session: the last one waits for all
        options: {
          lockTimeout: 60_000,
          storeTimeout: 60_000,
          clientAlwaysRoll: false,
        },
      });
      const at = browsersAt(nodes);
      await at[0]!.post("/session", { json: { n: 0 } });
      await at[0]!.get("/");
      const values: unknown[] = [];
      await Promise.all(at.map(async (browser) => {
        const clients = await Promise.all(
          Array.from({ length: SOCKETS }, () => browser.connect()),
        );
        await Promise.all(clients.map(async (client, i) => {
          for (let n = 0; n < INCREMENTS; n++) {
            // every fifth goes over HTTP
            values.push(
              (i + n) % 5 === 0
                ? (await browser.post("/add", { keep: false })).json.n
                : await client.timeout(60_000).emitWithAck("count"),
            );
          }
        }));
      }));
      const all = PROCESSES * SOCKETS * INCREMENTS;
      assertEquals(values.length, all);
      assertEquals(new Set(values).size, all);
      assertEquals((await at[0]!.get("/session")).json.session, { n: all });
      for (const { lines } of nodes) {
        assertEquals(lines.filter(({ type }) => type === "unhandled"), []);
      }
    },
  );
});
