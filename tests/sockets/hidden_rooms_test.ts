/** The bridge's rooms are its own: the application neither sees nor changes them. */
import { assert, assertEquals, assertFalse } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import Keygrip from "keygrip";
import type { Server } from "socket.io";
import { onConnection, serverSocketOf } from "../support/app.ts";
import { BridgeRooms } from "../support/bridge_rooms.ts";
import { connectedScenario } from "../support/connected_scenario.ts";
import { warningsOf } from "../support/console.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  type ServerConfig,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { collect, once } from "../support/wait.ts";

const byUser: TestOptions = { user: ({ user }) => user };

/** Ada with a socket that is in all three rooms. */
async function inRooms(config: ServerConfig = {}) {
  const stand = await connectedScenario({ user: "ada" }, byUser, config);
  const rooms = new BridgeRooms(stand.io);
  stand.bridge.toUser("ada");
  assertEquals(rooms.of(stand.socket).length, 3);
  return { ...stand, rooms };
}

/** The name of the room of a user's sockets, where the keys are these. */
async function userRoom(keys: ServerConfig["keys"]): Promise<string> {
  const { rooms } = await inRooms({ keys });
  const [name] = rooms.names().filter((room) => room.includes("user"));
  await closeServers();
  return name!;
}

/** Calls to all sockets of the server, a bridge's room given. */
const CALLS: Record<string, (io: Server, room: string) => void> = {
  socketsJoin: (io, room) => io.socketsJoin(room),
  socketsLeave: (io, room) => io.socketsLeave(room),
  "socket.join": (io, room) =>
    io.sockets.sockets.forEach((socket) => socket.join(["lobby", room])),
  "socket.leave": (io, room) =>
    io.sockets.sockets.forEach((socket) => socket.leave(room)),
};

describe("the bridge's rooms", () => {
  afterEach(closeServers);

  it("are in no list", async () => {
    const { io, socket, rooms } = await inRooms();
    socket.join("lobby");
    const { adapter } = io.of("/");
    const own = [socket.id, "lobby"];
    assertEquals([...socket.rooms], own);
    assertEquals([...adapter.rooms.keys()], own);
    assertEquals([...adapter.rooms].map(([room]) => room), own);
    assertEquals(adapter.rooms.size, 2);
    const visited: string[] = [];
    adapter.rooms.forEach((_, room) => visited.push(room));
    assertEquals(visited, own);
    const [remote] = await io.fetchSockets();
    assertEquals([...remote!.rooms], own);
    assertEquals(rooms.of(socket).length, 3);
  });

  it("are found by name, as adapters find them", async () => {
    const { io, socket, rooms } = await inRooms();
    const { adapter } = io.of("/");
    for (const room of rooms.names()) {
      assert(adapter.rooms.has(room));
      assertEquals([...adapter.rooms.get(room)!], [socket.id]);
      const found = await io.in(room).fetchSockets();
      assertEquals(found.map(({ id }) => id), [socket.id]);
      assertEquals(await io.except(room).fetchSockets(), []);
    }
    assertFalse(adapter.rooms.has("koa-io:user:none"));
  });

  for (const [name, call] of Object.entries(CALLS)) {
    it(`are neither joined nor left by ${name}, which is warned of once`, async () => {
      const { io, browser, socket, rooms } = await inRooms();
      const eve = await browser().connect();
      const before = rooms.names().map((room) => [room, socket.id]);
      const warnings = await warningsOf(() => {
        for (const room of rooms.names()) call(io, room);
      });
      assertEquals(warnings.length, 1, warnings.join("\n"));
      assert(warnings[0]!.includes("koa-io:"));
      assertEquals(
        rooms.names().map((
          room,
        ) => [room, ...io.of("/").adapter.rooms.get(room)!]),
        before,
      );
      const lobby = name === "socket.join";
      assertEquals(serverSocketOf(io, eve).rooms.has("lobby"), lobby);
    });
  }

  it("cannot be changed through the Sets of adapter.rooms", async () => {
    const { io, socket, rooms } = await inRooms();
    for (const room of rooms.names()) {
      const members = io.of("/").adapter.rooms.get(room)!;
      members.add("eve");
      members.delete(socket.id);
      members.clear();
      assertEquals([...members], [socket.id]);
      assertFalse(io.of("/").adapter.rooms.delete(room));
    }
  });

  it("are kept by an application that leaves all rooms", async () => {
    const { bridge, client, socket, sessionId, rooms } = await inRooms();
    for (const room of socket.rooms) socket.leave(room);
    const { adapter } = socket.nsp;
    adapter.delAll(socket.id);
    assertEquals(rooms.of(socket).length, 3);
    const news = collect(client, "news");
    bridge.toSession(sessionId).emit("news", 1);
    bridge.toClient(socket.clientId!).emit("news", 2);
    const last = once(client, "last");
    bridge.toUser("ada").emit("last");
    await last;
    assertEquals(news, [[1], [2]]);
  });

  it("are no part of the loop over a disconnecting socket's rooms", async () => {
    const { io, ada, rooms } = await inRooms();
    onConnection(io, (socket) => {
      socket.on("disconnecting", () => {
        for (const room of socket.rooms) socket.to(room).emit("left", room);
      });
      socket.join("lobby");
    });
    const [leaving, staying] = [await ada.connect(), await ada.connect()];
    const heard = collect(staying, "left");
    leaving.disconnect();
    await once(staying, "left");
    io.emit("last");
    await ada.event(staying, "last");
    assertEquals(heard, [["lobby"]]);
    assertEquals(rooms.names().length, 3);
  });

  it("are deleted with their last socket", async () => {
    const { io, ada, client, rooms } = await inRooms();
    const second = await ada.connect();
    for (const one of [client, second]) {
      assertEquals(rooms.names().length, 3);
      const gone = once(serverSocketOf(io, one), "disconnect");
      one.disconnect();
      await gone;
    }
    assertEquals(rooms.names(), []);
  });

  it("stay with an adapter that io.adapter() sets later", async () => {
    const { io, bridge, client, rooms } = await inRooms();
    const Base = io.of("/").adapter.constructor as new (
      ...args: unknown[]
    ) => object;
    io.adapter(class extends Base {} as never);
    assertEquals(rooms.names(), []);
    const news = once(client, "news");
    bridge.toUser("ada").emit("news");
    await news;
  });

  it("survive a listener of the adapter's events that throws", async () => {
    const { io, bridge, sessionId, socket, rooms } = await inRooms();
    const errors = collect(bridge, "error");
    io.of("/").adapter.on("leave-room", (room: string) => {
      if (room !== socket.id) throw new Error("in the application");
    });
    await bridge.destroy(sessionId);
    assertEquals([socket.sessionId, rooms.names()], [undefined, []]);
    assertEquals(errors.length, 3);
  });

  it("have names that depend on app.keys, and on nothing else of a node", async () => {
    const [first, same, rotated, other] = [
      await userRoom(["a", "b"]),
      await userRoom(["a"]),
      await userRoom(["b", "a"]),
      await userRoom(new Keygrip(["a"]) as never),
    ];
    assertEquals(first, same);
    assertEquals(other, await userRoom(new Keygrip(["a", "b"]) as never));
    assertEquals(new Set([first, rotated, other]).size, 3);
  });

  it("are not entered by a client that guesses", async () => {
    const { io, browser, bridge } = await startServer(byUser, (parts) => {
      routesAndEvents(parts);
      onConnection(parts.io, (socket) => {
        socket.on("enter", (room: string, ack: () => void) => {
          socket.join(room);
          ack();
        });
      });
    });
    const rooms = new BridgeRooms(io);
    const [ada, eve] = [browser(), browser()];
    await ada.post("/session", { json: { user: "ada" } });
    const of = await ada.connect();
    const client = await eve.connect();
    bridge.toUser("ada");
    const warnings = await warningsOf(async () => {
      for (const room of rooms.names()) await eve.ask(client, "enter", room);
    });
    assertEquals(warnings.length, 1);
    const last = once(of, "secret");
    bridge.toUser("ada").emit("secret");
    await last;
    io.emit("last");
    await eve.event(client, "last");
    assertEquals(eve.received(client).map(([event]) => event), ["last"]);
  });
});
