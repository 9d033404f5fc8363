/** What an application removes takes nothing from the bridge. */
import { assert, assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { Server } from "socket.io";
import { onConnection, serverSocketOf } from "../support/app.ts";
import type { Browser } from "../support/browser.ts";
import {
  routesAndEvents,
  sessionEvents,
  sessionRoutes,
} from "../support/routes.ts";
import {
  closeServers,
  type Stand,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { once, pause, until } from "../support/wait.ts";

/** A server, and a browser with a session. */
async function visited(
  options: TestOptions,
  setup: (io: Server) => void,
): Promise<Stand & { readonly ada: Browser }> {
  const stand = await startServer(options, (parts) => {
    sessionRoutes(parts.app);
    setup(parts.io);
  });
  const ada = stand.browser();
  await ada.post("/session", { json: { n: 1 } });
  await ada.get("/");
  return { ...stand, ada };
}

/** The end of a session reaches a socket that connects now, and so does its data. */
async function assertWorks(
  { io, ada }: Stand & { readonly ada: Browser },
  namespace: string,
): Promise<void> {
  const client = await ada.connect(namespace);
  assertEquals(await ada.ask(client, "get"), { n: 1 });
  assert(serverSocketOf(io, client, namespace).sessionId);
  const gone = once(client, "disconnect");
  await ada.post("/logout");
  assertEquals((await gone)[0], "io server disconnect");
  assertEquals(await ada.event(client, "session:end"), [{ reason: "logout" }]);
}

describe("an application that calls", () => {
  afterEach(closeServers);

  it("socket.removeAllListeners() does not keep its sockets", async () => {
    const stand = await visited({}, (io) => {
      io.on("connection", (socket) => socket.removeAllListeners());
    });
    const { ada, bridge, io } = stand;
    const clients = [await ada.connect(), await ada.connect()];
    assertEquals(bridge.stats().sockets, 2);
    clients.forEach((client) => client.disconnect());
    await until(() => io.sockets.sockets.size === 0, "the sockets gone");
    assertEquals(bridge.stats().sockets, 0);
  });

  for (const name of ["offAny", "removeAllListeners"] as const) {
    it(`socket.${name}() keeps its sockets' activity`, async () => {
      const options = { maxAge: 1_000, touchInterval: 20 };
      const { ada, io } = await visited(options, (io) => {
        io.on("connection", (socket) => {
          socket.onAny(() => {});
          socket[name]();
        });
      });
      const client = await ada.connect();
      const socket = serverSocketOf(io, client);
      for (let i = 0; i < 24; i++) {
        client.emit("anything");
        await pause(50);
      }
      assert(socket.sessionId);
    });
  }

  it("offAny() in an event counts that event as activity too", async () => {
    const { ada, io, bridge } = await visited(
      { maxAge: 60_000, touchInterval: 1 },
      (io) => {
        io.on("connection", (socket) => {
          socket.offAny();
          socket.on("last", (ack: () => void) => ack());
        });
      },
    );
    const client = await ada.connect();
    const { sessionId } = serverSocketOf(io, client);
    const store = bridge.store as unknown as {
      read(sid: string): { expires: number };
    };
    const before = store.read(sessionId!).expires;
    await pause(5);
    await ada.ask(client, "last");
    await until(() => store.read(sessionId!).expires > before, "the touch");
  });

  it("a middleware that replaces socket.onevent keeps both", async () => {
    const { ada, io } = await visited(
      { maxAge: 400, touchInterval: 20 },
      (io) => {
        // as socketio-wildcard does
        io.use((socket, next) => {
          const receiving = socket as unknown as {
            onevent(packet: { data: unknown[] }): void;
          };
          const { onevent } = receiving;
          receiving.onevent = function (packet) {
            onevent.call(this, { data: ["*", ...packet.data] });
            onevent.call(this, packet);
          };
          next();
        });
        sessionEvents(io);
      },
    );
    const client = await ada.connect();
    for (let i = 0; i < 16; i++) {
      await ada.ask(client, "whoami");
      await pause(50);
    }
    assert(serverSocketOf(io, client).sessionId);
  });

  for (const namespace of ["/", "/static", "/dynamic-1"]) {
    it(`removeAllListeners() on server and namespaces loses no later socket of ${namespace}`, async () => {
      const stand = await visited({ onSessionEnd: "disconnect" }, (io) => {
        const parts = [io, io.of("/static"), io.of(/^\/dynamic-\d$/)];
        for (const part of parts) {
          part.removeAllListeners();
          sessionEvents(part);
        }
        sessionEvents(io.of("/"));
      });
      await assertWorks(stand, namespace);
    });
  }

  it("removeAllListeners() on the server loses no later namespace", async () => {
    const stand = await visited({ onSessionEnd: "disconnect" }, (io) => {
      io.removeAllListeners();
      sessionEvents(io.of("/later"));
    });
    await assertWorks(stand, "/later");
  });
});

describe("the bridge's part of a connection", () => {
  afterEach(closeServers);

  it("comes before listeners that are put in front later", async () => {
    const seen: unknown[] = [];
    const { ada, io } = await visited({}, () => {});
    io.of("/").prependListener("connect", (socket) => {
      seen.push((socket as unknown as { sessionId?: string }).sessionId);
    });
    onConnection(io, (socket) => seen.push(socket.sessionId));
    await ada.connect();
    const { sessionId } = (await ada.get("/")).json;
    assertEquals(seen, [sessionId, sessionId]);
  });

  it("is over before the disconnect listeners of the application run", async () => {
    const { bridge, browser, io } = await startServer({}, routesAndEvents);
    const ada = browser();
    await ada.post("/session", { json: {} });
    const counts: number[] = [];
    onConnection(io, (socket) => {
      socket.on("disconnecting", () => counts.push(bridge.stats().sockets));
      socket.on("disconnect", () => counts.push(bridge.stats().sockets));
    });
    const client = await ada.connect();
    const gone = once(serverSocketOf(io, client), "disconnect");
    client.disconnect();
    await gone;
    assertEquals(counts, [1, 0]);
  });
});
