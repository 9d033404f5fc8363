import { assert, assertEquals, assertFalse } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import { serverSocketOf } from "../support/app.ts";
import type { ClientSocket } from "../support/browser.ts";
import { MESSENGERS } from "../support/cluster/messengers.ts";
import {
  type Arrival,
  arrive,
  closeNodes,
  type Nodes,
  type NodesConfig,
  startNodes,
} from "../support/cluster/nodes.ts";
import { monitor } from "../support/redis/commands.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { once, until } from "../support/wait.ts";

let server: RedisServer;

const start = (config: NodesConfig = {}) =>
  startNodes(server.port, {
    messenger: "redis-streams",
    io: { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } },
    ...config,
  });

describe("Recovery in a cluster", () => {
  withRedisServer((started) => server = started);
  afterEach(closeNodes);

  itNeedsRedis(
    "a socket that lost one node recovers on another, rooms included",
    async () => {
      const nodes = await start();
      const arrival = await arrive(nodes);
      const { at, sessionId, clientId } = arrival;
      const ticket = await loseConnection(nodes, arrival);
      nodes.all[0]!.bridge.toSession(sessionId).emit("missed");
      const client = await comeBack(arrival, ticket);
      assert(client.recovered);
      await at[0]!.event(client, "missed");
      assertEquals(await at[0]!.ask(client, "whoami"), { sessionId, clientId });
      assertEquals(await at[0]!.ask(client, "add"), 2);
      const heard = once(client, "session:end");
      await at[1]!.post("/logout");
      await heard;
      assertEquals(nodes.all[0]!.rooms(), []);
    },
  );

  itNeedsRedis(
    "rooms that an application left open nothing after a logout elsewhere, and lose nothing before",
    async () => {
      const nodes = await start();
      for (const ends of [false, true]) {
        const arrival = await arrive(nodes);
        const { at, client, sessionId } = arrival;
        const socket = serverSocketOf(nodes.all[1]!.io, client);
        for (const room of socket.rooms) {
          if (room !== socket.id) socket.leave(room);
        }
        const ticket = await loseConnection(nodes, arrival);
        nodes.all[0]!.bridge.toSession(sessionId).emit("missed");
        if (ends) await at[1]!.post("/logout");
        const back = await comeBack(arrival, ticket);
        const missed = at[0]!.received(back).some(([name]) =>
          name === "missed"
        );
        assertEquals([back.recovered, missed], [!ends, !ends]);
      }
    },
  );

  for (const losesMessages of [false, true]) {
    const how = losesMessages ? ", messages lost" : "";
    itNeedsRedis(
      `a logout elsewhere leaves nothing to recover${how}`,
      async () => {
        const nodes = await start({ losesMessages });
        const arrival = await arrive(nodes);
        const { at, sessionId } = arrival;
        const ticket = await loseConnection(nodes, arrival);
        nodes.all[0]!.bridge.toSession(sessionId).emit("missed");
        await at[0]!.post("/logout");
        nodes.all[0]!.io.emit("missed");
        const client = await comeBack(arrival, ticket);
        assertFalse(client.recovered);
        assertFalse(
          at[0]!.received(client).some(([name]) => name === "missed"),
        );
        assertEquals((await at[0]!.ask(client, "get")).code, "SESSION_MISSING");
        assertEquals(nodes.all[0]!.rooms(), []);
      },
    );

    itNeedsRedis(
      `a node that had the session recovers nothing after a logout elsewhere${how}`,
      async () => {
        const nodes = await start({ losesMessages });
        const arrival = await arrive(nodes);
        const { at, sessionId } = arrival;
        const ticket = await loseConnection(nodes, arrival);
        nodes.all[0]!.bridge.toSession(sessionId).emit("missed");
        await at[1]!.post("/logout");
        const client = await comeBack(arrival, ticket);
        assertFalse(client.recovered);
        assertFalse(
          at[0]!.received(client).some(([name]) => name === "missed"),
        );
      },
    );
  }
});

describe("A message between nodes", () => {
  withRedisServer((started) => server = started);
  afterEach(closeNodes);

  for (const messenger of MESSENGERS) {
    itNeedsRedis(
      `contains neither ids nor users in clear (${messenger})`,
      async () => {
        const nodes = await start({
          messenger,
          options: { user: ({ user }) => user },
          ...(messenger === "redis" && { io: {} }),
        });
        const watch = await monitor(server.port);
        try {
          const user = "ada.lovelace";
          const { at, client, sessionId, clientId } = await arrive(nodes, {
            user,
          });
          const ids = [sessionId, clientId, user];
          const [{ bridge }] = nodes.all as [typeof nodes.all[0]];
          await bridge.withSession(sessionId, ({ session }) => {
            session!.user = "eve.online";
          });
          bridge.toSession(sessionId).emit("news");
          bridge.toClient(clientId).emit("news");
          bridge.toUser(user).emit("news");
          const rotated = once(client, "session:rotated");
          await at[0]!.post("/regenerate?sockets=follow");
          await rotated;
          ids.push((await at[0]!.get("/")).json.sessionId, "eve.online");
          const gone = once(
            serverSocketOf(nodes.all[1]!.io, client),
            "disconnect",
          );
          client.io.engine.close();
          await gone;
          await at[0]!.post("/logout");
          await until(
            () => nodes.all[1]!.events.length === 4,
            "the last message",
          );
          const told = (await watch.commands()).filter((line) =>
            !line.includes(nodes.prefix)
          );
          const kinds = told.filter((line) => line.includes("koa-io-session"));
          assert(kinds.length >= 4, `${kinds.length} messages`);
          assert(told.some((line) => line.includes("koa-io:session:")));
          for (const line of told) {
            for (const id of ids) assertFalse(line.includes(id), line);
          }
        } finally {
          watch.close();
        }
      },
    );
  }
});

/** What a client hands in to be recovered. */
interface Ticket {
  readonly _pid: string;
  readonly _lastOffset: string;
}

/** Cuts the connection of a socket that has received a packet, without which there is nothing to recover. */
async function loseConnection(
  nodes: Nodes,
  { at, client }: Arrival,
): Promise<Ticket> {
  nodes.all[0]!.io.emit("first");
  await at[1]!.event(client, "first");
  const { _pid, _lastOffset } = client as unknown as Ticket;
  const gone = once(serverSocketOf(nodes.all[1]!.io, client), "disconnect");
  client.io.engine.close();
  await gone;
  return { _pid, _lastOffset };
}

/** Connects to the first node. */
async function comeBack(
  { at }: Arrival,
  ticket: Ticket,
): Promise<ClientSocket> {
  const client = Object.assign(at[0]!.socket(), ticket);
  await at[0]!.open(client);
  await at[0]!.ask(client, "whoami");
  return client;
}
