import { assert, assertEquals, assertLess } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import { randomUUID } from "node:crypto";
import {
  browsersAt,
  spawnNodes,
  stopNodes,
} from "../support/cluster/processes.ts";
import { say } from "../support/redis/commands.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { once, until } from "../support/wait.ts";

/** How long the nodes may hold, and wait for, a session here, in ms. */
const LOCK = 1_000;
/** What a busy machine takes on top, in ms. */
const SLACK = 2_500;

let server: RedisServer;

const spawn = (count: number, prefix = `store-${randomUUID()}:`) =>
  spawnNodes(count, {
    port: server.port,
    prefix,
    options: { lockTimeout: LOCK },
  });

describe("Nodes that are killed and frozen", () => {
  withRedisServer((started) => server = started);
  afterEach(stopNodes);

  itNeedsRedis(
    "a node killed while it holds a session blocks others for lockTimeout at most, and loses nothing",
    async () => {
      const nodes = await spawn(2);
      const [a, b] = browsersAt(nodes);
      await a!.post("/session", { json: { n: 1, user: "ada" } });
      await a!.get("/");
      const client = await b!.connect();
      const held = await a!.connect();
      held.emit("hold", 60_000, () => {});
      await nodes[0]!.reported("holding");
      const since = Date.now();
      // one call waits when the node is killed, one starts later
      const waiting = b!.ask(client, "count");
      nodes[0]!.signal("SIGKILL");
      assertEquals(await waiting, 2);
      assertLess(Date.now() - since, LOCK + SLACK);
      assertEquals((await b!.post("/add")).json, { n: 3 });
      assertEquals((await b!.get("/session")).json.session, {
        n: 3,
        user: "ada",
      });
    },
  );

  itNeedsRedis("a node killed while it waits is skipped", async () => {
    const prefix = "line:";
    const nodes = await spawn(3, prefix);
    const [a, b, c] = browsersAt(nodes);
    await a!.post("/session", { json: { n: 1 } });
    const { sessionId } = (await a!.get("/")).json;
    const holder = await a!.connect();
    const waiter = await b!.connect();
    const last = await c!.connect();
    const held = a!.ask(holder, "hold", 500);
    await nodes[0]!.reported("holding");
    waiter.emit("count", () => {});
    await until(async () => {
      const key = `${prefix}q:{${sessionId}}`;
      return (await say(server.port, `LLEN ${key}\r\n`)).startsWith(":1");
    }, "the line");
    nodes[1]!.signal("SIGKILL");
    const since = Date.now();
    const counted = c!.ask(last, "count");
    assertEquals(await held, true);
    assertEquals(await counted, 2);
    assertLess(Date.now() - since, 500 + LOCK + SLACK);
  });

  for (const way of ["socket", "HTTP"] as const) {
    itNeedsRedis(
      `a node frozen past its lease and thawed is refused its late write (${way})`,
      async () => {
        const nodes = await spawn(2);
        const [a, b] = browsersAt(nodes);
        await a!.post("/session", { json: { n: 1 } });
        await a!.get("/");
        const client = await b!.connect();
        const held = await a!.connect();
        const late = way === "socket"
          ? a!.ask(held, "hold", 100)
          : a!.post("/hold?ms=100").then(({ status, json }) => {
            assertEquals(status, 503);
            return json;
          });
        await nodes[0]!.reported("holding");
        nodes[0]!.signal("SIGSTOP");
        try {
          const since = Date.now();
          assertEquals(await b!.ask(client, "count"), 2);
          assertLess(Date.now() - since, LOCK + SLACK);
        } finally {
          nodes[0]!.signal("SIGCONT");
        }
        assertEquals((await late).code, "SESSION_TIMEOUT");
        assertEquals((await b!.get("/session")).json.session, { n: 2 });
        // it goes on
        assertEquals(await a!.ask(held, "count"), 3);
      },
    );
  }

  itNeedsRedis(
    "a node frozen while its session ends is refused its late write, and frees its rooms",
    async () => {
      const nodes = await spawn(2);
      const [a, b] = browsersAt(nodes);
      await a!.post("/session", { json: { n: 1 } });
      await a!.get("/");
      const held = await a!.connect();
      const late = a!.ask(held, "hold", 100);
      const ended = once(held, "session:end");
      await nodes[0]!.reported("holding");
      nodes[0]!.signal("SIGSTOP");
      try {
        assertEquals((await b!.post("/logout")).status, 200);
      } finally {
        nodes[0]!.signal("SIGCONT");
      }
      assertEquals((await late).code, "SESSION_ENDED");
      assertEquals((await ended)[0], { reason: "logout" });
      assertEquals((await a!.ask(held, "get")).code, "SESSION_MISSING");
      assertEquals((await a!.get("/rooms")).json, []);
      assert(nodes.every(({ lines }) => lines.every(sound)));
    },
  );

  itNeedsRedis(
    "a node frozen past its lease may write if the session was not granted again",
    async () => {
      const nodes = await spawn(2);
      const [a, b] = browsersAt(nodes);
      await a!.post("/session", { json: { n: 1 } });
      await a!.get("/");
      const held = await a!.connect();
      const late = a!.ask(held, "hold", LOCK + 200);
      assertEquals(await late, true);
      assertEquals((await b!.get("/session")).json.session, {
        n: 1,
        late: true,
      });
    },
  );
});

function sound({ type }: { readonly type: string }): boolean {
  return type !== "unhandled";
}
