import { assertEquals } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import { closeNodes, startNodes } from "../support/cluster/nodes.ts";
import {
  browsersAt,
  spawnNodes,
  stopNodes,
} from "../support/cluster/processes.ts";
import { monitor } from "../support/redis/commands.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { until } from "../support/wait.ts";

const PROCESSES = 3;
const SOCKETS = 20;
const INCREMENTS = 50;
const MISSING = "SESSION_MISSING";

let server: RedisServer;

describe("Many writers on many processes", () => {
  withRedisServer((started) => server = started);
  afterEach(async () => {
    await stopNodes();
    await closeNodes();
  });

  itNeedsRedis(
    "3 processes with 20 sockets of 50 increments each, and HTTP among them, count exactly",
    async () => {
      const nodes = await spawnNodes(PROCESSES, {
        port: server.port,
        // all wait for one session: the last one waits for all
        options: { lockTimeout: 60_000, clientAlwaysRoll: false },
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

  itNeedsRedis(
    "an uncontended withSession costs two round trips, from a socket and by id",
    async () => {
      const nodes = await startNodes(server.port, { count: 1 });
      const [node] = nodes.all;
      const [ada] = nodes.browsers();
      await ada!.post("/session", { json: { n: 0 } });
      const { sessionId } = (await ada!.get("/")).json;
      const client = await ada!.connect();
      // connects the store's own subscriber
      await ada!.ask(client, "add");
      const watch = await monitor(server.port);
      try {
        const cost = async (act: () => Promise<unknown>) => {
          const before = (await watch.commands()).length;
          await act();
          return (await watch.commands()).length - before;
        };
        assertEquals(await cost(() => ada!.ask(client, "add")), 2);
        assertEquals(
          await cost(() =>
            node!.bridge.withSession(sessionId, ({ session }) => session!.n)
          ),
          2,
        );
        assertEquals(await cost(() => ada!.ask(client, "get")), 2);
      } finally {
        watch.close();
      }
    },
  );

  itNeedsRedis(
    "a contended withSession costs two round trips, too",
    async () => {
      const nodes = await startNodes(server.port);
      const [a, b] = nodes.all;
      const [ada] = nodes.browsers();
      await ada!.post("/session", { json: { n: 0 } });
      const { sessionId } = (await ada!.get("/")).json;
      const add = (node: typeof a) =>
        node!.bridge.withSession(sessionId, async ({ session }) => {
          await Promise.resolve();
          session!.n = session!.n! + 1;
        });
      await Promise.all([add(a), add(b)]);
      const watch = await monitor(server.port);
      try {
        await Promise.all(
          Array.from({ length: 20 }, (_, i) => add(i % 2 ? a : b)),
        );
        const commands = await watch.commands();
        assertEquals(commands.length, 2 * 20, commands.join("\n"));
        assertEquals((await ada!.get("/session")).json.session, { n: 22 });
      } finally {
        watch.close();
      }
    },
  );

  itNeedsRedis(
    "two processes that log the same user out and in at once leave no socket in an ended session",
    async () => {
      const nodes = await spawnNodes(2, { port: server.port });
      const devices = await Promise.all([0, 1].map(async () => {
        const at = browsersAt(nodes);
        await at[0]!.get("/");
        const clients = await Promise.all(
          at.map((browser) => browser.connect()),
        );
        return { at, clients };
      }));
      for (let round = 0; round < 10; round++) {
        await Promise.all(devices.map(async ({ at }, i) => {
          await at[i]!.post("/session", { json: { user: "ada" } });
          await Promise.all([
            at[0]!.post("/logout", { jar: at[0]!.jar.clone(), keep: false }),
            at[1]!.post("/logout", { jar: at[0]!.jar.clone(), keep: false }),
            at[1 - i]!.post("/destroy?user=ada", { keep: false }),
          ]);
          await at[1 - i]!.post("/session", { json: { user: "ada" } });
        }));
        let live = 0;
        for (const { at, clients } of devices) {
          const now = (await at[round % 2]!.get("/session")).json;
          const has = now.session.user === "ada";
          if (has) live++;
          for (const [i, client] of clients.entries()) {
            await until(
              async () =>
                (await at[i]!.ask(client, "whoami")).sessionId ===
                  (has ? now.sessionId : undefined),
              "the sockets in the session that their client has",
            );
            const answer = await at[i]!.ask(client, "get");
            assertEquals(
              has ? answer.user : answer.code,
              has ? "ada" : MISSING,
            );
          }
        }
        const { ended } = (await devices[0]!.at[0]!.post("/destroy?user=ada"))
          .json;
        assertEquals(ended, live);
        for (const { at, clients } of devices) {
          for (const [i, client] of clients.entries()) {
            await until(
              async () => !(await at[i]!.ask(client, "whoami")).sessionId,
              "the end",
            );
          }
          assertEquals((await at[1]!.get("/rooms")).json, []);
        }
      }
    },
  );
});
