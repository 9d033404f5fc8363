import { assertEquals, assertLess } from "@std/assert";
import { afterAll, afterEach, beforeAll, describe } from "@std/testing/bdd";
import { closeNodes, startNodes } from "../support/cluster.ts";
import { spawnNodes, stopNodes, visitor } from "../support/processes.ts";
import { monitor, type RedisServer, startRedis } from "../support/redis.ts";
import { itNeeds, redisServerPath } from "../support/requires.ts";
import { until } from "../support/wait.ts";

const path = redisServerPath();
const test = (name: string, body: () => Promise<void>) =>
  itNeeds("redis-server", path, name, body);

const PROCESSES = 3;
const SOCKETS = 20;
const INCREMENTS = 50;

let server: RedisServer;

describe("Many writers on many processes", () => {
  beforeAll(async () => {
    if (path) server = await startRedis();
  });
  afterEach(async () => {
    await stopNodes();
    await closeNodes();
  });
  afterAll(async () => {
    if (path) await server.stop();
  });

  test("3 processes with 20 sockets of 50 increments each, and HTTP among them, count exactly", async () => {
    const nodes = await spawnNodes(PROCESSES, {
      port: server.port,
      // all wait for one session: the last one waits for all
      options: { lockTimeout: 60_000, clientAlwaysRoll: false },
    });
    const at = visitor(nodes);
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
      assertEquals(lines.filter(({ says }) => says === "unhandled"), []);
    }
  });

  test("an uncontended withSession costs two round trips, from a socket and by id", async () => {
    const nodes = await startNodes(server.port, { count: 1 });
    const [node] = nodes.all;
    const [ada] = nodes.visitor();
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
  });

  test("a contended withSession costs two round trips, too", async () => {
    const nodes = await startNodes(server.port);
    const [a, b] = nodes.all;
    const [ada] = nodes.visitor();
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
  });

  test("two processes that log the same client out and in at once end in one session", async () => {
    const nodes = await spawnNodes(2, { port: server.port });
    const at = visitor(nodes);
    const { jar } = at[0]!;
    await at[0]!.post("/session", { json: { user: "ada" } });
    await at[0]!.get("/");
    const clients = await Promise.all(at.map((browser) => browser.connect()));
    let slowest = 0;
    for (let round = 0; round < 10; round++) {
      await Promise.all(at.map((browser, i) => {
        const own = jar.clone();
        const go = async () => {
          await browser.post("/logout", { jar: own });
          return await browser.post("/session", {
            json: { user: "ada" },
            jar: own,
          });
        };
        return go().then(({ setCookies }) => {
          if (i === round % 2) jar.apply(setCookies);
        });
      }));
      const since = Date.now();
      const now = (await at[round % 2]!.get("/session")).json;
      assertEquals(now.session, { user: "ada" });
      for (const [i, client] of clients.entries()) {
        await until(
          async () =>
            (await at[i]!.ask(client, "whoami")).sessionId === now.sessionId,
          "both sockets in the client's one session",
        );
      }
      slowest = Math.max(slowest, Date.now() - since);
    }
    assertLess(slowest, 2_000);
    const ended = (await at[0]!.post("/destroy?user=ada", { keep: false }))
      .json;
    assertEquals(ended, { ended: 1 });
  });
});
