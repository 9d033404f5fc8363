import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { afterAll, afterEach, beforeAll, describe } from "@std/testing/bdd";
import type { Browser } from "../support/browser.ts";
import {
  browsersAt,
  forkNodes,
  stopNodes,
} from "../support/cluster/processes.ts";
import {
  itNeedsRedis,
  type RedisServer,
  startRedis,
} from "../support/redis/server.ts";
import { redisServerPath } from "../support/requires.ts";
import { once, until } from "../support/wait.ts";

const path = redisServerPath();

describe("A cluster of node:cluster's workers over @socket.io/cluster-adapter", () => {
  let server: RedisServer;
  let nodes: { readonly url: string }[];
  beforeAll(async () => {
    if (!path) return;
    server = await startRedis();
    nodes = await forkNodes(3, { port: server.port });
  });
  afterEach(async () => {
    for (const browser of made.splice(0)) await browser.close();
  });
  afterAll(async () => {
    await stopNodes();
    if (path) await server.stop();
  });

  const made: Browser[] = [];
  const visit = () => {
    const at = browsersAt(nodes) as [Browser, Browser, Browser];
    made.push(...at);
    return at;
  };

  itNeedsRedis(
    "a socket follows login, regeneration and logout on another worker",
    async () => {
      const [a, b, c] = visit();
      await b.get("/");
      const client = await b.connect();
      const started = once(client, "session:start");
      await a.post("/session", { json: { user: "ada" } });
      await started;
      const { sessionId, clientId } = (await c.get("/")).json;
      assertEquals(await b.ask(client, "whoami"), { sessionId, clientId });

      const rotated = once(client, "session:rotated");
      await c.post("/regenerate");
      await rotated;
      const now = (await a.get("/")).json.sessionId;
      assertNotEquals(now, sessionId);
      assertEquals((await b.ask(client, "whoami")).sessionId, now);
      const heard = once(client, "news");
      await a.post("/news?user=ada");
      await heard;

      const ended = once(client, "session:end");
      await a.post("/logout");
      assertEquals(await ended, [{ reason: "logout" }]);
      assertEquals((await b.ask(client, "get")).code, "SESSION_MISSING");
      await until(
        async () => (await b.get("/rooms")).json.length === 0,
        "the rooms empty",
      );
    },
  );

  itNeedsRedis("destroyUser reaches every worker", async () => {
    const visitors = [visit(), visit(), visit()];
    const ends: Promise<unknown>[] = [];
    for (const [i, at] of visitors.entries()) {
      await at[0].post("/session", { json: { user: "eve" } });
      await at[0].get("/");
      const client = await at[i]!.connect();
      ends.push(once(client, "session:end"));
    }
    assertEquals((await visitors[0]![1].post("/destroy?user=eve")).json, {
      ended: 3,
    });
    for (const end of await Promise.all(ends)) {
      assertEquals(end, [{ reason: "revoked" }]);
    }
  });

  itNeedsRedis("no update is lost between workers", async () => {
    const at = visit();
    await at[0].post("/session", { json: { n: 0 } });
    await at[0].get("/");
    const clients = await Promise.all(at.map((browser) => browser.connect()));
    const adds = Array.from(
      { length: 90 },
      (_, i) =>
        i % 2
          ? at[i % 3]!.ask(clients[i % 3]!, "count")
          : at[i % 3]!.post("/add", { keep: false }).then(({ json }) => json.n),
    );
    const values = await Promise.all(adds);
    assertEquals(new Set(values).size, 90);
    assert(values.every((value) => typeof value === "number"));
    assertEquals((await at[0].get("/session")).json.session.n, 90);
  });
});
