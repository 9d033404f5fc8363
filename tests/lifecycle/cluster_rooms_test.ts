/** The bridge's rooms on the adapters that reach other nodes. */
import { assertEquals } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import { serverSocketOf } from "../support/app.ts";
import { ADAPTERS } from "../support/cluster/messengers.ts";
import {
  type Arrival,
  arrive,
  closeNodes,
  type Nodes,
  startNodes,
} from "../support/cluster/nodes.ts";
import { warningsOf } from "../support/console.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { once, until } from "../support/wait.ts";

let server: RedisServer;

/** Each way to the socket of the arrival, from the first node. */
async function assertReached(
  nodes: Nodes,
  { client, sessionId, clientId }: Arrival,
  user: string,
): Promise<void> {
  const { bridge } = nodes.all[0]!;
  const ways = [
    bridge.toSession(sessionId),
    bridge.toClient(clientId),
    bridge.toUser(user),
  ];
  for (const [i, way] of ways.entries()) {
    const news = once(client, "news");
    way.emit("news", i);
    assertEquals(await news, [i]);
  }
}

describe("The bridge's rooms", () => {
  withRedisServer((started) => server = started);
  afterEach(closeNodes);

  for (const messenger of ADAPTERS) {
    const start = () =>
      startNodes(server.port, {
        messenger,
        options: { user: ({ user }) => user },
      });

    itNeedsRedis(
      `are reached from another node after an application left all rooms (${messenger})`,
      async () => {
        const nodes = await start();
        const arrival = await arrive(nodes, { user: "ada" });
        const { at, client } = arrival;
        const socket = serverSocketOf(nodes.all[1]!.io, client);
        for (const room of socket.rooms) socket.leave(room);
        await until(() => nodes.all[1]!.rooms().length === 3, "the rooms");
        await assertReached(nodes, arrival, "ada");
        await at[1]!.ask(client, "merge", { user: "eve" });
        await assertReached(nodes, arrival, "eve");
        const ended = once(client, "session:end");
        await at[0]!.post("/logout");
        await ended;
        assertEquals(nodes.all[1]!.rooms(), []);
      },
    );

    itNeedsRedis(
      `are neither shown to another node nor changed by it (${messenger})`,
      async () => {
        const nodes = await start();
        const arrival = await arrive(nodes, { user: "ada" });
        const [first, second] = nodes.all as [Nodes["all"][0], Nodes["all"][0]];
        const guest = await first.browser().connect();
        const rooms = second.rooms();
        const remote = await first.io.fetchSockets();
        assertEquals(
          remote.map(({ id, rooms }) => [id, ...rooms]).sort(),
          [arrival.client, guest].map(({ id }) => [id, id]).sort(),
        );
        const warnings = await warningsOf(async () => {
          for (const room of rooms) {
            first.io.socketsLeave(room);
            first.io.socketsJoin(room);
          }
          first.io.socketsJoin("lobby");
          const socket = serverSocketOf(second.io, arrival.client);
          await until(() => socket.rooms.has("lobby"), "the calls");
        });
        assertEquals(warnings.length, 2, "one a node");
        for (const room of rooms) {
          assertEquals(first.io.of("/").adapter.rooms.has(room), false);
        }
        await assertReached(nodes, arrival, "ada");
      },
    );

    itNeedsRedis(
      `are emptied from another node although listeners were removed (${messenger})`,
      async () => {
        const nodes = await start();
        const { at, client } = await arrive(nodes, { user: "ada" });
        nodes.all[1]!.io.removeAllListeners();
        const ended = once(client, "session:end");
        await at[0]!.post("/logout");
        await ended;
        assertEquals(nodes.all[1]!.rooms(), []);
      },
    );
  }
});
