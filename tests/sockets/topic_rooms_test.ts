/** The bridge's rooms where Socket.IO publishes to the topics of uWebSockets.js. */
import { assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { Server } from "socket.io";
import { connectedScenario } from "../support/connected_scenario.ts";
import { closeServers } from "../support/server.ts";
import { collect, once } from "../support/wait.ts";

/** A connection of Engine.IO, with the WebSocket of its transport. */
interface Connection {
  readonly transport: {
    readonly socket: { send(packet: string): void } & Record<string, unknown>;
  };
}

/** Gives `ws` the topics of uWebSockets.js, which npm does not have, and makes Socket.IO publish to them. */
function attachTopics(io: Server): Map<string, Set<Connection>> {
  const topics = new Map<string, Set<Connection>>();
  const engine = io.engine as unknown as {
    on(event: "connection", listener: (conn: Connection) => void): void;
  };
  engine.on("connection", (conn) => {
    Object.assign(conn.transport.socket, {
      subscribe(topic: string) {
        if (!topics.has(topic)) topics.set(topic, new Set());
        topics.get(topic)!.add(conn);
      },
      unsubscribe: (topic: string) => topics.get(topic)?.delete(conn),
    });
  });
  const app = {
    any: () => app,
    ws: () => app,
    get: () => app,
    publish(topic: string, packet: string) {
      for (const { transport } of topics.get(topic) ?? []) {
        transport.socket.send(packet);
      }
    },
  };
  io.attachApp(app);
  return topics;
}

describe("rooms with topics", () => {
  afterEach(closeServers);

  for (const when of ["before", "after"] as const) {
    it(`reach their sockets, and nothing after the end (attached ${when} the bridge)`, async () => {
      let topics!: Map<string, Set<Connection>>;
      const stand = await connectedScenario({ user: "ada" }, {
        user: ({ user }) => user,
      }, {
        prepare: ({ io }) => {
          if (when === "before") topics = attachTopics(io);
        },
      });
      const { ada, bridge, io, sessionId } = stand;
      if (when === "after") topics = attachTopics(io);
      const client = await ada.connect();
      const { clientId } = (await ada.get("/")).json;
      const news = collect(client, "news");
      bridge.toSession(sessionId).emit("news", 1);
      bridge.toClient(clientId).emit("news", 2);
      bridge.toUser("ada").emit("news", 3);
      io.in(client.id!).socketsJoin("lobby");
      const lobby = once(client, "lobby");
      io.to("lobby").emit("lobby");
      await lobby;
      assertEquals(news, [[1], [2], [3]]);
      const followed = [...topics].filter(([name, { size }]) =>
        size > 0 && name.includes("koa-io:")
      );
      assertEquals(followed.length, 3);
      await bridge.destroy(sessionId);
      bridge.toSession(sessionId).emit("news", 4);
      bridge.toUser("ada").emit("news", 5);
      const last = once(client, "last");
      io.to("lobby").emit("last");
      await last;
      assertEquals(news.length, 3);
    });
  }
});
