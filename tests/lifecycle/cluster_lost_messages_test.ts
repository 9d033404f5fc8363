import { assert, assertEquals, assertLess } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import { serverSocketOf } from "../support/app.ts";
import {
  arrive,
  closeNodes,
  type NodesConfig,
  startNodes,
} from "../support/cluster/nodes.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { once, until } from "../support/wait.ts";

/** How long a lost message may go unnoticed, in ms; and what a busy machine takes on top. */
const INTERVAL = 500;
const SLACK = 2_500;

let server: RedisServer;

/** Nodes whose messages to each other get lost. */
const start = ({ options, ...config }: NodesConfig = {}) =>
  startNodes(server.port, {
    losesMessages: true,
    options: { reconcileInterval: INTERVAL, ...options },
    ...config,
  });

/** The same, with an interval longer than a test: changes are noticed by other means. */
const startPatient = ({ options, ...config }: NodesConfig = {}) =>
  start({ ...config, options: { reconcileInterval: 60_000, ...options } });

describe("A cluster whose messages all get lost", () => {
  withRedisServer((started) => server = started);
  afterEach(closeNodes);

  itNeedsRedis(
    "a live socket is sent an end within reconcileInterval",
    async () => {
      const nodes = await start();
      const { at, client, sessionId, clientId } = await arrive(nodes);
      const ended = once(client, "session:end");
      await at[0]!.post("/logout");
      const since = Date.now();
      await ended;
      assertLess(Date.now() - since, INTERVAL + SLACK);
      assertEquals(nodes.all[1]!.rooms(), []);
      assertEquals(nodes.all[1]!.events.at(-1), ["sessionEnd", {
        clientId,
        sessionId,
        reason: "revoked",
        local: false,
      }]);
    },
  );

  itNeedsRedis(
    "a socket's call continues under a new id without a message of the rotation",
    async () => {
      const nodes = await startPatient();
      const { at, client } = await arrive(nodes);
      await at[0]!.post("/session", { json: { n: 1 } });
      await at[0]!.post("/regenerate?sockets=follow");
      await at[0]!.post("/regenerate?sockets=follow");
      assertEquals(await at[1]!.ask(client, "add"), 2);
      const { sessionId } = (await at[0]!.get("/")).json;
      await until(
        async () =>
          (await at[1]!.ask(client, "whoami")).sessionId === sessionId,
        "the new id",
      );
    },
  );

  itNeedsRedis(
    "a call nested in one that continued under a new id joins it",
    async () => {
      const nodes = await startPatient();
      const { at, client } = await arrive(nodes);
      await at[0]!.post("/regenerate?sockets=follow");
      const socket = serverSocketOf(nodes.all[1]!.io, client);
      const n = await socket.withSession(() =>
        socket.withSession(({ session }) => session.n)
      );
      assertEquals(n, 1);
    },
  );

  itNeedsRedis(
    "a socket's call does not continue after a rotation that leaves sockets",
    async () => {
      const nodes = await startPatient();
      const { at, client } = await arrive(nodes);
      await at[0]!.post("/regenerate?sockets=leave");
      assertEquals((await at[1]!.ask(client, "get")).code, "SESSION_MISSING");
    },
  );

  itNeedsRedis(
    "a live socket is sent a start within reconcileInterval",
    async () => {
      const nodes = await start();
      const [a, b] = nodes.browsers();
      await a!.get("/");
      const client = await b!.connect();
      const started = once(client, "session:start");
      await a!.post("/session", { json: { n: 1 } });
      const since = Date.now();
      await started;
      assertLess(Date.now() - since, INTERVAL + SLACK);
      const { sessionId, clientId } = (await a!.get("/")).json;
      assertEquals(await b!.ask(client, "whoami"), { sessionId, clientId });
      assertEquals(nodes.all[1]!.events, [["sessionStart", {
        clientId,
        sessionId,
        cause: "rebuilt",
        local: true,
      }]]);
    },
  );

  for (const onSessionEnd of ["keep", "disconnect"] as const) {
    itNeedsRedis(
      `a live socket follows a regeneration within reconcileInterval (${onSessionEnd})`,
      async () => {
        const nodes = await start({ options: { onSessionEnd } });
        const { at, client, clientId, sessionId } = await arrive(nodes);
        const rotated = once(client, "session:rotated");
        await at[0]!.post("/regenerate?sockets=follow");
        const since = Date.now();
        assertEquals(await rotated, [{ sockets: "follow" }]);
        assertLess(Date.now() - since, INTERVAL + SLACK);
        const now = (await at[0]!.get("/")).json.sessionId;
        assertEquals(await at[1]!.ask(client, "whoami"), {
          sessionId: now,
          clientId,
        });
        assertEquals(nodes.all[1]!.rooms().length, 2);
        assertEquals(
          nodes.all[1]!.events.slice(-2).map(([name, { sessionId, local }]) => [
            name,
            sessionId,
            local,
          ]),
          [["sessionEnd", sessionId, false], ["sessionStart", now, false]],
        );
      },
    );
  }

  itNeedsRedis(
    "a live socket is left behind within reconcileInterval",
    async () => {
      const nodes = await start();
      const { at, client, clientId } = await arrive(nodes);
      const rotated = once(client, "session:rotated");
      await at[0]!.post("/regenerate?sockets=leave");
      assertEquals(await rotated, [{ sockets: "leave" }]);
      assertEquals(await at[1]!.ask(client, "whoami"), { clientId });
      assertEquals(nodes.all[1]!.rooms(), []);
    },
  );

  itNeedsRedis(
    "toUser follows a session that changes hands within reconcileInterval",
    async () => {
      const nodes = await start({ options: { user: ({ user }) => user } });
      const { at, client, sessionId } = await arrive(nodes, { user: "eve" });
      await nodes.all[0]!.bridge.withSession(sessionId, ({ session }) => {
        session!.user = "ada";
      });
      const since = Date.now();
      await until(async () => {
        nodes.all[1]!.bridge.toUser("ada").emit("ada");
        await at[1]!.ask(client, "whoami");
        return at[1]!.received(client).some(([event]) => event === "ada");
      }, "the user's room");
      assertLess(Date.now() - since, INTERVAL + SLACK);
      nodes.all[1]!.bridge.toUser("eve").emit("eve");
      nodes.all[1]!.bridge.toUser("ada").emit("last");
      await at[1]!.event(client, "last");
      assert(!at[1]!.received(client).some(([event]) => event === "eve"));
    },
  );

  itNeedsRedis(
    "a session that was replaced leaves none of its rooms behind",
    async () => {
      const nodes = await start({
        options: { user: ({ user }) => user, onUserChange: "keep" },
      });
      const { at, client } = await arrive(nodes, { user: "eve" });
      at[0]!.jar.delete("test.sid");
      await at[0]!.post("/session", { json: { user: "ada" } });
      // a request brings the new one to the second node
      const now = (await at[1]!.get("/")).json;
      await until(
        async () =>
          (await at[1]!.ask(client, "whoami")).sessionId === now.sessionId,
        "the socket in the new session",
        INTERVAL + SLACK,
      );
      assertEquals(nodes.all[1]!.rooms().length, 3);
      nodes.all[1]!.bridge.toUser("eve").emit("eve");
      nodes.all[1]!.bridge.toUser("ada").emit("last");
      await at[1]!.event(client, "last");
      assert(!at[1]!.received(client).some(([event]) => event === "eve"));
    },
  );

  itNeedsRedis(
    "no use of a session after its end was acknowledged on another node",
    async () => {
      const nodes = await startPatient();
      const { at, client } = await arrive(nodes);
      await at[0]!.post("/logout");
      assertEquals((await at[1]!.ask(client, "add")).code, "SESSION_MISSING");
      await at[1]!.event(client, "session:end");
      assertEquals(nodes.all[1]!.rooms(), []);
      assertEquals(nodes.all[1]!.events.at(-1)?.[1].local, false);
    },
  );

  itNeedsRedis(
    "a use of a session that was regenerated elsewhere emits no end",
    async () => {
      const nodes = await startPatient({
        options: { onSessionEnd: "disconnect" },
      });
      const { at, client } = await arrive(nodes);
      await at[0]!.post("/regenerate?sockets=follow");
      const rotated = once(client, "session:rotated");
      assertEquals(await at[1]!.ask(client, "add"), 2);
      assertEquals(await rotated, [{ sockets: "follow" }]);
      assert(client.connected);
      assertEquals(await at[1]!.ask(client, "add"), 3);
      assert(
        !at[1]!.received(client).some(([event]) => event === "session:end"),
      );
    },
  );

  itNeedsRedis(
    "a request with a regenerated session's cookie brings the client's sockets along",
    async () => {
      const nodes = await startPatient();
      const { at, client, sessionId } = await arrive(nodes);
      await at[0]!.post("/regenerate?sockets=follow");
      const now = (await at[1]!.get("/")).json.sessionId;
      await until(
        async () => (await at[1]!.ask(client, "whoami")).sessionId === now,
        "the socket in the session under its new id",
      );
      assertEquals(nodes.all[1]!.rooms().length, 2);
      await until(
        () =>
          nodes.all[1]!.events.some(([name, event]) =>
            name === "sessionEnd" && event.sessionId === sessionId &&
            event.reason === "rotated"
          ),
        "the end of the old id",
      );
      assertEquals(nodes.all[1]!.bridge.stats().sessions, 1);
    },
  );

  itNeedsRedis(
    "destroy and destroyUser that find nothing left still free the rooms here",
    async () => {
      const nodes = await startPatient({
        options: { user: ({ user }) => user },
      });
      const { at, client, sessionId } = await arrive(nodes, { user: "ada" });
      await at[0]!.post("/logout");
      assertEquals(await nodes.all[1]!.bridge.destroy(sessionId), false);
      await at[1]!.event(client, "session:end");
      assertEquals(nodes.all[1]!.rooms(), []);
    },
  );

  itNeedsRedis("updates from two nodes are never lost", async () => {
    const nodes = await startPatient();
    const { at, client } = await arrive(nodes, { n: 0 });
    const other = await at[0]!.connect();
    await Promise.all(
      Array.from(
        { length: 100 },
        (_, i) => i % 2 ? at[1]!.ask(client, "add") : at[0]!.ask(other, "add"),
      ),
    );
    assertEquals((await at[0]!.get("/session")).json.session, { n: 100 });
  });
});
