/** A bridge on an application and a server that had another one, or sockets already. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { Server } from "socket.io";
import { bridgeSession, SessionStore } from "@koa-io/session";
import { createApp, serverSocketOf, type TestSession } from "../support/app.ts";
import { BridgeRooms } from "../support/bridge_rooms.ts";
import { Browser } from "../support/browser.ts";
import { connectedScenario } from "../support/connected_scenario.ts";
import { KEY, SIGNING_KEY } from "../support/cookies.ts";
import { clearingIntervals } from "../support/intervals.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestBridge,
  type TestOptions,
} from "../support/server.ts";
import { deferred, once, until } from "../support/wait.ts";

const bridges: TestBridge[] = [];

/** Makes a bridge on what another one was closed on. */
function again(
  { app, io }: { readonly app: object; readonly io: Server },
  options: TestOptions = {},
): TestBridge {
  const bridge = bridgeSession<TestSession>(app as never, io, {
    key: KEY,
    ...options,
  });
  bridges.push(bridge);
  return bridge;
}

async function closeAll(): Promise<void> {
  await Promise.all(bridges.splice(0).map((bridge) => bridge.close()));
  await closeServers();
}

describe("a bridge that is made after another was closed", () => {
  afterEach(closeAll);

  it("serves requests in its place, before the routes of the application", async () => {
    const { ada, bridge, ...stand } = await connectedScenario({ n: 1 });
    await bridge.close();
    assertEquals((await ada.get("/")).json, {});
    const next = again(stand);
    assertEquals((await ada.get("/session")).json.session, {});
    await ada.post("/session", { json: { n: 2 } });
    const { session, sessionId } = (await ada.get("/session")).json;
    assertEquals(session, { n: 2 });
    assertEquals(await next.peek(sessionId), { n: 2 });
  });

  it("uses its own options", async () => {
    const { ada, bridge, ...stand } = await connectedScenario({ n: 1 });
    await bridge.close();
    again(stand, { key: "other", maxAge: "session" });
    const answer = await ada.post("/session", { json: { n: 2 } });
    assertEquals(answer.cookie(KEY), undefined);
    assertEquals(answer.cookie("other")!.attributes.expires, undefined);
  });

  it("goes on with the sessions of a store, and adopts its sockets", async () => {
    const store = new SessionStore();
    const options: TestOptions = { store, user: ({ user }) => user };
    const scene = await connectedScenario({ user: "ada" }, options);
    const { ada, bridge, client, socket, sessionId, io } = scene;
    const guest = await scene.browser().connect();
    await bridge.close();
    assertEquals(socket.sessionId, undefined);
    const rooms = new BridgeRooms(io);
    const next = again(scene, options);
    await until(() => next.stats().sockets === 1, "the adoption");
    assertEquals(socket.sessionId, sessionId);
    assertEquals(await ada.ask(client, "merge", { n: 3 }), {
      user: "ada",
      n: 3,
    });
    const news = once(client, "news");
    next.toUser("ada").emit("news");
    await news;
    assertEquals(rooms.of(socket).length, 3);
    const ended = once(client, "session:end");
    await next.destroy(sessionId);
    assertEquals(await ended, [{ reason: "revoked" }]);
    assertEquals(serverSocketOf(io, guest).sessionId, undefined);
    const gone = once(socket, "disconnect");
    client.disconnect();
    await gone;
    assertEquals([next.stats().sockets, rooms.names()], [0, []]);
    store.close();
  });

  it("measures the activity of sockets once, however often it was made", async () => {
    const store = new SessionStore();
    const options: TestOptions = { store, touchInterval: 1 };
    const scene = await connectedScenario({ n: 1 }, options);
    const { socket } = scene;
    const { onevent } = socket as unknown as { onevent: unknown };
    let { bridge } = scene;
    for (let i = 0; i < 3; i++) {
      await bridge.close();
      assert(!Object.hasOwn(socket, "onevent"));
      bridge = again(scene, options);
      await until(() => bridge.stats().sockets === 1, "the adoption");
      assert(Object.hasOwn(socket, "onevent"));
    }
    assertEquals(typeof onevent, "function");
    assertEquals(await scene.ada.ask(scene.client, "add"), 2);
    store.close();
  });

  it("closes the sockets that it cannot adopt, and recovers none of them", async () => {
    await clearingIntervals(async () => {
      const scene = await connectedScenario({ n: 1 }, {}, {
        io: { connectionStateRecovery: {} },
      });
      const { ada, bridge, client, io, sessionId } = scene;
      const offset = once(client, "offset");
      io.emit("offset");
      await offset;
      await bridge.close();
      let failing = true;
      const gone = once(client, "disconnect");
      again(scene, {
        store: {
          get: (sid) => {
            if (failing) throw new Error("down");
            return sid === sessionId ? { n: 2 } : undefined;
          },
          set() {},
          destroy() {},
        },
      });
      assertEquals((await gone)[0], "transport close");
      failing = false;
      await ada.open(client);
      assertEquals(client.recovered, false);
      assertEquals(await ada.ask(client, "get"), { n: 2 });
      await closeAll();
    });
  });

  it("takes the same option appKeys again", async () => {
    const appKeys = ["a", "b"];
    const stand = await startServer({ appKeys }, routesAndEvents, {
      keys: false,
    });
    await stand.bridge.close();
    again(stand, { appKeys });
    const ada = stand.browser();
    await ada.post("/session", { json: { n: 1 } });
    assertEquals((await ada.get("/session")).json.session, { n: 1 });
  });

  it("lets a request that began before it end in peace", async () => {
    const reached = deferred();
    const gate = deferred();
    const stand = await startServer({}, ({ app }) => {
      app.use(async (ctx, next) => {
        if (ctx.path !== "/slow") return await next();
        ctx.session!.n = 1;
        reached.resolve();
        await gate.promise;
        ctx.body = { n: ctx.session!.n };
      });
    });
    const ada = stand.browser();
    const slow = ada.get("/slow");
    await reached.promise;
    await stand.bridge.close();
    again(stand);
    gate.resolve();
    const answer = await slow;
    assertEquals([answer.status, answer.body], [200, '{"n":1}']);
  });

  it("is refused while the other one is open", async () => {
    const stand = await startServer();
    const error = await assertRejects(
      () => Promise.resolve().then(() => again(stand)),
      TypeError,
    );
    assert(error.message.includes("a bridge already"));
  });
});

describe("a bridge that is made when sockets are there already", () => {
  afterEach(closeAll);

  /** A server without a bridge; the application's routes come after the bridge. */
  async function unbridged(io = new Server()) {
    const app = createApp();
    app.keys = [SIGNING_KEY];
    let callback = undefined as ReturnType<typeof app.callback> | undefined;
    const http = createServer((req, res) => callback?.(req, res));
    io.attach(http);
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    const { port } = http.address() as AddressInfo;
    const browser = new Browser(`http://127.0.0.1:${port}`);
    return {
      browser,
      io,
      http,
      bridge(options: TestOptions = {}) {
        const bridge = again({ app, io }, options);
        routesAndEvents({ app, io, bridge });
        callback = app.callback();
        return bridge;
      },
      async close() {
        await browser.close();
        await closeAll();
        const closed = once(http, "close");
        await io.close();
        http.closeAllConnections();
        await closed;
      },
    };
  }

  it("makes guests of those that have no cookies", async () => {
    const stand = await unbridged();
    try {
      const client = await stand.browser.connect();
      const socket = serverSocketOf(stand.io, client);
      stand.bridge();
      assertEquals(await socket.withSession(() => 1, "a guest"), "a guest");
      assertEquals(socket.clientId, undefined);
      await stand.browser.post("/session", { json: { n: 1 } });
      const later = await stand.browser.connect();
      assertEquals(await stand.browser.ask(later, "get"), { n: 1 });
    } finally {
      await stand.close();
    }
  });

  it("closes the connection of a socket whose handshake it refuses", async () => {
    const stand = await unbridged();
    try {
      const headers = { origin: "https://foreign.example" };
      const client = await stand.browser.connect("/", { headers });
      const own = await stand.browser.connect();
      const gone = once(client, "disconnect");
      stand.bridge();
      assertEquals((await gone)[0], "transport close");
      assert(own.connected);
    } finally {
      await stand.close();
    }
  });
});
