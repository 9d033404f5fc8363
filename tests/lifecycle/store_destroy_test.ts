import { assert, assertEquals, assertRejects } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { closeNodes, type Node, startNodes } from "../support/cluster/nodes.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { startScenario } from "../support/scenario.ts";
import type { TestOptions } from "../support/server.ts";
import { withSqlite } from "../support/sqlite.ts";
import { fakeStore } from "../support/stores/fake_store.ts";
import { once, pause, until } from "../support/wait.ts";

type Destroys = { destroy(sid: string): boolean | Promise<boolean> };

const ends = ({ events }: Node) =>
  events.filter(([name]) => name === "sessionEnd").map(([, event]) => [
    event.reason,
    event.local,
  ]);

describe("a destroy of the store by the application", () => {
  let server: RedisServer;
  withRedisServer((started) => server = started);
  afterEach(closeNodes);

  for (const by of ["store", "bridge"] as const) {
    itNeedsRedis(
      `ends the session on each node once, by the ${by}`,
      async () => {
        const nodes = await startNodes(server.port);
        const [a, b] = nodes.browsers();
        const [one, two] = nodes.all as readonly [Node, Node];
        await a!.post("/session", { json: { user: "ada" } });
        const { sessionId } = (await a!.get("/")).json;
        const clients = [await a!.connect(), await b!.connect()];
        const { bridge } = one;
        const ending = by === "store"
          ? await (bridge.store as unknown as Destroys).destroy(sessionId)
          : await bridge.destroy(sessionId);
        assert(ending);
        assertEquals(ends(one), [["revoked", true]]);
        await until(() => ends(two).length > 0, "the end on the other node");
        await pause(100);
        assertEquals(ends(one), [["revoked", true]]);
        assertEquals(ends(two), [["revoked", false]]);
        for (const [i, browser] of [a!, b!].entries()) {
          const received = browser.received(clients[i]!);
          assertEquals(
            received.filter(([name]) => name === "session:end"),
            [["session:end", { reason: "revoked" }]],
          );
        }
      },
    );
  }
});

describe("an end whose answer is lost", () => {
  for (const way of ["a logout", "bridge.destroy"] as const) {
    it(`is heard by the sockets of the session nevertheless: ${way}`, async () => {
      const store = fakeStore();
      await using scenario = await startScenario({ store } as TestOptions);
      const { browser, sessionId } = await scenario.visit({ n: 1 });
      const client = await browser.connect();
      const heard = once(client, "session:end");
      store.destroy = (sid) => {
        store.lose(sid);
        return Promise.reject(new Error("the answer is lost"));
      };
      if (way === "a logout") {
        scenario.route("/out", (ctx) => void (ctx.session = null));
        assertEquals((await browser.get("/out")).status, 503);
      } else {
        await assertRejects(() => scenario.bridge.destroy(sessionId));
      }
      assertEquals(await heard, [{ reason: "revoked" }]);
      assertEquals((await browser.ask(client, "whoami")).sessionId, undefined);
    });
  }

  it("leaves the session where the store has it", async () => {
    const store = fakeStore();
    await using scenario = await startScenario({ store } as TestOptions);
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    const client = await browser.connect();
    store.only = "destroy";
    store.fault = "reject";
    await assertRejects(() => scenario.bridge.destroy(sessionId));
    assertEquals((await browser.ask(client, "whoami")).sessionId, sessionId);
    assertEquals(browser.received(client), []);
    store.fault = "none";
    assert(await scenario.bridge.destroy(sessionId));
  });
});

withSqlite(({ SqliteStore }) => {
  describe("a destroy of a SqliteStore by the application", () => {
    it("ends the session for the bridge", async () => {
      const store = new SqliteStore({ path: ":memory:", autoCleanup: false });
      await using scenario = await startScenario({ store });
      const { sessionId } = await scenario.visit();
      assert(await store.destroy(sessionId));
      assertEquals((await scenario.ended(sessionId)).reason, "revoked");
    });
  });
});
