/** The rooms of a session: kept from the first use that needs them. */
import { assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { serverSocketOf } from "../support/app.ts";
import { BridgeRooms } from "../support/bridge_rooms.ts";
import { connectedScenario } from "../support/connected_scenario.ts";
import { clearingIntervals } from "../support/intervals.ts";
import { routesAndEvents } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";
import { collect, type Deferred, deferred, once } from "../support/wait.ts";

/** The rooms by user change on the same connection. */
const byUser = {
  user: (session: { name?: string }) => session.name,
  onUserChange: "keep",
};

describe("rooms", () => {
  afterEach(closeServers);

  it("are not kept before their first use", async () => {
    let rooms!: BridgeRooms;
    const { ada, socket } = await connectedScenario({ n: 1 }, {}, {
      prepare: ({ io }) => rooms = new BridgeRooms(io),
    });
    assertEquals(rooms.names(), []);
    await ada.post("/logout");
    assertEquals(socket.sessionId, undefined);
  });

  it("contain all sockets from the first call that needs them", async () => {
    const stand = await connectedScenario({ name: "ada" }, byUser as never);
    const { bridge, sessionId, socket, ada, client } = stand;
    const rooms = new BridgeRooms(stand.io);
    const second = await ada.connect();
    const { clientId } = socket;
    const news = [client, second].map((one) => collect(one, "news"));
    bridge.toSession(sessionId).emit("news", 1);
    bridge.toClient(clientId!).emit("news", 2);
    bridge.toUser("ada").emit("news", 3);
    bridge.toUser("eve").emit("news", 4);
    const last = [once(client, "last"), once(second, "last")];
    stand.io.emit("last");
    await Promise.all(last);
    for (const heard of news) assertEquals(heard, [[1], [2], [3]]);
    assertEquals(rooms.of(socket).length, 3);
  });

  it("are reached by an operator that was made before the first socket connected", async () => {
    const stand = await connectedScenario({ n: 1 });
    const operator = stand.bridge.toSession(stand.sessionId);
    const late = await stand.ada.connect();
    const news = once(late, "news");
    operator.emit("news");
    await news;
  });

  it("are those of the session's user at the time when the socket is admitted", async () => {
    let gate: Record<"reached" | "open", Deferred> | undefined;
    const validate = async (value: unknown) => {
      const held = gate;
      gate = undefined;
      held?.reached.resolve();
      await held?.open.promise;
      return { value };
    };
    const schema = { "~standard": { version: 1, vendor: "test", validate } };
    const options = { ...byUser, schema };
    const { bridge, ada } = await connectedScenario(
      { name: "eve" },
      options as never,
    );
    const held = gate = { reached: deferred(), open: deferred() };
    const late = ada.socket();
    const heard = collect(late, "news");
    const opening = ada.open(late);
    await held.reached.promise;
    await ada.post("/session", { json: { name: "ada" } });
    held.open.resolve();
    await opening;
    bridge.toUser("eve").emit("news", "of eve");
    const last = once(late, "news");
    bridge.toUser("ada").emit("news", "of ada");
    await last;
    assertEquals(heard, [["of ada"]]);
  });

  it("are not recovered once the session is another user's", async () => {
    await clearingIntervals(async () => {
      const options = byUser as never;
      const { browser, bridge, io } = await startServer(
        options,
        routesAndEvents,
        { io: { connectionStateRecovery: {} } },
      );
      const ada = browser();
      await ada.post("/session", { json: { name: "eve" } });
      await ada.get("/");
      const client = await ada.connect();
      const heard = collect(client, "news");
      const offset = once(client, "offset");
      io.emit("offset");
      await offset;
      const gone = once(serverSocketOf(io, client), "disconnect");
      client.io.engine.close();
      await gone;
      await ada.post("/session", { json: { name: "ada" } });
      bridge.toUser("eve").emit("news", "missed by eve");
      const back = once(client, "connect");
      client.connect();
      await back;
      bridge.toUser("eve").emit("news", "of eve");
      const last = once(client, "news");
      bridge.toUser("ada").emit("news", "of ada");
      await last;
      const news = heard.map(([text]) => text);
      assertEquals([client.recovered, news], [false, ["of ada"]]);
      await closeServers();
    });
  });

  it("are left at the end, and entered at the next login, once they are kept", async () => {
    const { ada, bridge, io, socket, sessionId } = await connectedScenario({
      n: 1,
    });
    const rooms = new BridgeRooms(io);
    bridge.toSession(sessionId);
    assertEquals(rooms.of(socket).length, 2);
    await ada.post("/logout");
    assertEquals(rooms.of(socket).length, 0);
    await ada.post("/session", { json: { n: 2 } });
    assertEquals(rooms.of(socket).length, 2);
  });

  it("are kept from the beginning where sockets can be recovered", async () => {
    await clearingIntervals(async () => {
      let rooms!: BridgeRooms;
      const { socket } = await connectedScenario({ n: 1 }, {}, {
        io: { connectionStateRecovery: {} },
        prepare: ({ io }) => rooms = new BridgeRooms(io),
      });
      assertEquals(rooms.of(socket).length, 2);
      await closeServers();
    });
  });
});
