import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import { MESSENGERS } from "../support/cluster/messengers.ts";
import {
  arrive,
  closeNodes,
  type Nodes,
  type NodesConfig,
  startNodes,
} from "../support/cluster/nodes.ts";
import type { Address } from "../support/postgres/cluster.ts";
import { itNeedsPostgres, withPostgres } from "../support/postgres/server.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import type { TestOptions } from "../support/server.ts";
import { once, until } from "../support/wait.ts";

let server: RedisServer;

/** Sockets keep their connections when the user changes. */
const byUser: TestOptions = {
  user: ({ user }) => user,
  onUserChange: "keep",
};

for (const messenger of MESSENGERS) {
  describe(`A cluster over ${messenger}`, () => {
    withRedisServer((started) => server = started);
    afterEach(closeNodes);
    cases(
      itNeedsRedis,
      (config = {}) => startNodes(server.port, { messenger, ...config }),
    );
  });
}

describe("A cluster over PostgreSQL alone", () => {
  let address: Address;
  withPostgres((found) => address = found);
  afterEach(closeNodes);
  cases(itNeedsPostgres, (config = {}) => startNodes(address, config));
});

function cases(
  it: typeof itNeedsRedis,
  start: (config?: NodesConfig) => Promise<Nodes>,
) {
  it(
    "a socket follows a login that was made on another node",
    async () => {
      const nodes = await start();
      const [a, b] = nodes.browsers();
      await b!.get("/");
      const client = await b!.connect();
      const started = once(client, "session:start");
      await a!.post("/session", { json: { user: "ada" } });
      await started;
      const { sessionId, clientId } = (await a!.get("/")).json;
      assertEquals(await b!.ask(client, "whoami"), { sessionId, clientId });
      assertEquals(await b!.ask(client, "get"), { user: "ada" });
      const heard = once(client, "news");
      nodes.all[0]!.bridge.toSession(sessionId).emit("news");
      await heard;
    },
  );

  it(
    "a login and a logout on another node make the client's sockets reconnect, with the option user",
    async () => {
      const nodes = await start({ options: { user: ({ user }) => user } });
      const [a, b] = nodes.browsers();
      await b!.get("/");
      const guest = await b!.connect();
      const left = once(guest, "disconnect");
      await a!.post("/session", { json: { user: "ada" } });
      assertEquals((await left)[0], "transport close");
      assertEquals(b!.received(guest), [["session:rotated", {
        sockets: "reconnect",
      }]]);
      const { sessionId, clientId } = (await a!.get("/")).json;
      const client = await b!.connect();
      assertEquals(await b!.ask(client, "whoami"), { sessionId, clientId });
      assertEquals(nodes.all[1]!.rooms().length, 3);

      const closed = once(client, "disconnect");
      await a!.post("/logout");
      assertEquals((await closed)[0], "transport close");
      assertEquals(b!.received(client), [["session:end", {
        reason: "logout",
      }]]);
      assertEquals(nodes.all[1]!.rooms(), []);
      const back = await b!.connect();
      assertEquals(await b!.ask(back, "whoami"), { clientId });
    },
  );

  it(
    "of sessions that a client begins on all nodes at once, one remains",
    async () => {
      const nodes = await start();
      const refused: string[] = [];
      for (const { bridge } of nodes.all) {
        bridge.on("sessionConflict", ({ resolution }) => {
          if (resolution === "refused") refused.push(resolution);
        });
      }
      for (let round = 0; round < 20; round++) {
        const at = nodes.browsers();
        const { clientId } = (await at[0]!.get("/")).json;
        await Promise.all(
          at.map((one) => one.post("/session", { json: { user: "ada" } })),
        );
        const begun = nodes.all.flatMap(({ events }) => events)
          .filter(([name, event]) =>
            name === "sessionStart" && event.cause === "created" &&
            event.local && event.clientId === clientId
          )
          .map(([, { sessionId }]) => sessionId as string);
        // one that comes after what a later request has begun is refused
        assertEquals(begun.length + refused.splice(0).length, nodes.all.length);
        const { bridge } = nodes.all[0]!;
        const found = await Promise.all(begun.map((sid) => bridge.peek(sid)));
        const alive = begun.filter((_, i) => found[i] !== undefined);
        assertEquals(alive, [await bridge.sessionIdOf(clientId)]);
      }
    },
  );

  it("a logout on another node ends it, rooms included", async () => {
    const nodes = await start();
    const { at, client, sessionId } = await arrive(nodes);
    const ended = once(client, "session:end");
    await at[0]!.post("/logout");
    assertEquals(await ended, [{ reason: "logout" }]);
    assertEquals(await at[1]!.ask(client, "whoami"), {
      clientId: (await at[0]!.get("/")).json.clientId,
    });
    assertEquals((await at[1]!.ask(client, "get")).code, "SESSION_MISSING");
    assertEquals(nodes.all[1]!.rooms(), []);
    nodes.all[0]!.bridge.toSession(sessionId).emit("news");
    nodes.all[0]!.io.emit("last");
    await at[1]!.event(client, "last");
    assert(!at[1]!.received(client).some(([event]) => event === "news"));
  });

  it(
    'a logout on another node disconnects with onSessionEnd: "disconnect"',
    async () => {
      const nodes = await start({ options: { onSessionEnd: "disconnect" } });
      const { at, client } = await arrive(nodes);
      const gone = once(client, "disconnect");
      await at[0]!.post("/logout");
      assertEquals((await gone)[0], "io server disconnect");
    },
  );

  it(
    "a socket follows a session that is regenerated on another node",
    async () => {
      const nodes = await start({ options: byUser });
      const { at, client, sessionId, clientId } = await arrive(nodes, {
        user: "ada",
      });
      const rotated = once(client, "session:rotated");
      await at[0]!.post("/regenerate?sockets=follow");
      assertEquals(await rotated, [{ sockets: "follow" }]);
      const now = (await at[0]!.get("/")).json;
      assertNotEquals(now.sessionId, sessionId);
      assertEquals(await at[1]!.ask(client, "whoami"), {
        sessionId: now.sessionId,
        clientId,
      });
      assertEquals(nodes.all[1]!.rooms().length, 3);
      for (const to of ["toSession", "toClient", "toUser"] as const) {
        const id = {
          toSession: now.sessionId,
          toClient: clientId,
          toUser: "ada",
        };
        const heard = once(client, to);
        nodes.all[0]!.bridge[to](id[to]).emit(to);
        await heard;
      }
      assertEquals(
        at[1]!.received(client).map(([event]) => event)
          .filter((event) => event.startsWith("session:")),
        ["session:rotated"],
      );
    },
  );

  it(
    'a socket is left behind by a regeneration with sockets: "leave"',
    async () => {
      const nodes = await start();
      const { at, client, clientId } = await arrive(nodes);
      const rotated = once(client, "session:rotated");
      await at[0]!.post("/regenerate?sockets=leave");
      assertEquals(await rotated, [{ sockets: "leave" }]);
      assertEquals(await at[1]!.ask(client, "whoami"), { clientId });
      assertEquals(nodes.all[1]!.rooms(), []);
      const again = await at[1]!.connect();
      const { sessionId } = (await at[0]!.get("/")).json;
      assertEquals((await at[1]!.ask(again, "whoami")).sessionId, sessionId);
    },
  );

  it(
    "a session that replaces another moves its client's sockets",
    async () => {
      const nodes = await start({ options: byUser });
      const { at, client, sessionId } = await arrive(nodes, { user: "eve" });
      at[0]!.jar.delete("test.sid");
      const [ended, started] = [
        once(client, "session:end"),
        once(client, "session:start"),
      ];
      await at[0]!.post("/session", { json: { user: "ada" } });
      assertEquals(await ended, [{ reason: "replaced" }]);
      await started;
      const now = (await at[0]!.get("/")).json;
      assertNotEquals(now.sessionId, sessionId);
      assertEquals(await at[1]!.ask(client, "get"), { user: "ada" });
      assertEquals(nodes.all[1]!.rooms().length, 3);
    },
  );

  it(
    "toUser follows a session that changes hands on another node",
    async () => {
      const nodes = await start({ options: byUser });
      const { at, client, sessionId } = await arrive(nodes, { user: "eve" });
      await nodes.all[0]!.bridge.withSession(sessionId, ({ session }) => {
        session!.user = "ada";
      });
      const [, b] = nodes.all;
      await until(async () => {
        b!.bridge.toUser("ada").emit("ada");
        await at[1]!.ask(client, "whoami");
        return at[1]!.received(client).some(([event]) => event === "ada");
      }, "the user's room");
      nodes.all[0]!.bridge.toUser("eve").emit("eve");
      nodes.all[0]!.bridge.toUser("ada").emit("last");
      await at[1]!.event(client, "last");
      assert(!at[1]!.received(client).some(([event]) => event === "eve"));
    },
  );

  it("destroyUser ends a user's sessions on every node", async () => {
    const nodes = await start({ options: byUser });
    const [one, two, three] = [
      await arrive(nodes, { user: "ada" }),
      await arrive(nodes, { user: "ada" }),
      await arrive(nodes, { user: "bob" }),
    ];
    const ended = once(two.client, "session:end");
    const except = one.sessionId;
    assertEquals(
      await nodes.all[0]!.bridge.destroyUser("ada", { except }),
      1,
    );
    assertEquals(await ended, [{ reason: "revoked" }]);
    for (const { at, client, sessionId } of [one, three]) {
      const now = await at[1]!.ask(client, "whoami");
      assertEquals(now.sessionId, sessionId);
    }
    assertEquals((await nodes.all[1]!.bridge.sessionsOf("ada")).length, 1);
  });

  it(
    "each node's events state whether it happened there",
    async () => {
      const nodes = await start();
      const at = nodes.browsers();
      await at[0]!.post("/session", { json: { n: 1 } });
      const { sessionId, clientId } = (await at[0]!.get("/")).json;
      const [a, b] = nodes.all;
      const both = (name: string, at: number) =>
        until(
          () =>
            nodes.all.every(({ events }) =>
              events.filter(([event]) => event === name).length === at
            ),
          `${at} ${name}`,
        );
      // a handshake that comes before the message finds the session itself
      await both("sessionStart", 1);
      const client = await at[1]!.connect();
      await at[0]!.post("/regenerate?sockets=follow");
      const now = (await at[0]!.get("/")).json.sessionId;
      await both("sessionStart", 2);
      await at[1]!.ask(client, "destroy");
      await both("sessionEnd", 2);
      const story = (first: boolean) => [
        ["sessionStart", {
          clientId,
          sessionId,
          cause: "created",
          local: first,
        }],
        ["sessionEnd", {
          clientId,
          sessionId,
          reason: "rotated",
          local: first,
        }],
        ["sessionStart", {
          clientId,
          sessionId: now,
          cause: "rotated",
          local: first,
        }],
        ["sessionEnd", {
          clientId,
          sessionId: now,
          reason: "logout",
          local: !first,
        }],
      ];
      assertEquals(a!.events as unknown[], story(true));
      assertEquals(b!.events as unknown[], story(false));
    },
  );

  it(
    "two nodes that log a user out and in at once agree in the end",
    async () => {
      const nodes = await start({ options: byUser });
      const devices = [
        await arrive(nodes, { user: "ada" }),
        await arrive(nodes, { user: "ada" }),
      ];
      const bridges = nodes.all.map(({ bridge }) => bridge);
      for (let round = 0; round < 5; round++) {
        await Promise.all(devices.map(async ({ at }, i) => {
          // both nodes end the same session, and all of the user's
          const { jar } = at[0]!;
          await Promise.all([
            at[0]!.post("/logout", { jar: jar.clone(), keep: false }),
            at[1]!.post("/logout", { jar: jar.clone(), keep: false }),
            bridges[i]!.destroyUser("ada"),
          ]);
          await at[i]!.post("/session", { json: { user: "ada" } });
        }));
        const live: string[] = [];
        for (const { at, client } of devices) {
          const seen = await Promise.all(
            at.map((browser) => browser.get("/session", { keep: false })),
          );
          const [here, there] = seen.map(({ json }) => json);
          assertEquals(here, there);
          const has = here.session.user === "ada";
          if (has) live.push(here.sessionId);
          await until(async () => {
            const { sessionId } = await at[1]!.ask(client, "whoami");
            return sessionId === (has ? here.sessionId : undefined);
          }, "the socket in the session that its client has");
        }
        for (const bridge of bridges) {
          const own = await bridge.sessionsOf("ada");
          assertEquals(
            own.map(({ sessionId }) => sessionId).sort(),
            live.toSorted(),
          );
        }
      }
    },
  );
}
