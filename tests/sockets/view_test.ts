import { assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { Browser, ClientSocket } from "../support/browser.ts";
import { arrive, closeNodes, startNodes } from "../support/cluster/nodes.ts";
import { connectedScenario } from "../support/connected_scenario.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { collect, once, until } from "../support/wait.ts";

const options: TestOptions = {
  view: ({ user, n }) => ({ user, even: n! % 2 === 0 }),
};

/** The views that a socket was sent, once the server has answered something later. */
async function views(browser: Browser, socket: ClientSocket) {
  await browser.ask(socket, "whoami");
  return browser.received(socket)
    .filter(([name]) => name === "session:view")
    .map(([, view]) => view);
}

describe("the option view", () => {
  afterEach(closeServers);

  it("is sent to a socket when it connects", async () => {
    const { ada, client } = await connectedScenario(
      { user: "ada", n: 1 },
      options,
    );
    assertEquals(await views(ada, client), [{ user: "ada", even: false }]);
  });

  it("is sent after session:start when a session begins", async () => {
    const { ada, client } = await connectedScenario(null, options);
    assertEquals(await views(ada, client), []);
    await ada.post("/session", { json: { user: "ada", n: 2 } });
    assertEquals(await views(ada, client), [{ user: "ada", even: true }]);
    assertEquals(ada.received(client).map(([name]) => name), [
      "session:start",
      "session:view",
    ]);
  });

  it("is sent after a change over HTTP, a socket and the bridge", async () => {
    const { ada, client, bridge, sessionId } = await connectedScenario(
      { n: 1 },
      options,
    );
    const other = await ada.connect();
    await ada.post("/session", { json: { n: 2 } });
    await ada.ask(client, "add");
    await bridge.withSession(sessionId, ({ session }) => {
      session.user = "ada";
    });
    const expected = [
      { even: false },
      { even: true },
      { even: false },
      { user: "ada", even: false },
    ];
    assertEquals(await views(ada, client), expected);
    assertEquals(await views(ada, other), expected);
  });

  it("is not sent when only other data changed", async () => {
    const { ada, client } = await connectedScenario({ n: 1 }, options);
    await ada.post("/session", { json: { secret: 1 } });
    await ada.ask(client, "merge", { secret: 2, n: 3 });
    await ada.get("/session");
    assertEquals(await views(ada, client), [{ even: false }]);
  });

  it("reaches every namespace, and no other client", async () => {
    const { ada, io, browser } = await connectedScenario({ n: 1 }, options);
    io.of("/news");
    const news = await ada.connect("/news");
    await ada.event(news, "session:view");
    const eve = browser();
    await eve.post("/session", { json: { n: 1 } });
    const hers = await eve.connect();
    const pushed = once(news, "session:view");
    await ada.post("/session", { json: { n: 2 } });
    assertEquals(await pushed, [{ even: true }]);
    assertEquals(await views(eve, hers), [{ even: false }]);
  });

  it("follows a session to its new id, if it changed", async () => {
    const { browser } = await startServer(options, (parts) => {
      routesAndEvents(parts);
      parts.app.use(async (ctx) => {
        ctx.session!.n = Number(ctx.query.n);
        await ctx.regenerateSession();
        ctx.body = {};
      });
    });
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    const client = await ada.connect();
    await ada.post("/rotate?n=3");
    await ada.post("/rotate?n=4");
    await ada.ask(client, "add");
    assertEquals(await views(ada, client), [
      { even: false },
      { even: true },
      { even: false },
    ]);
  });

  it("is not sent to sockets that are left behind", async () => {
    const { ada, client, bridge, sessionId } = await connectedScenario(
      { n: 1 },
      options,
    );
    await bridge.destroy(sessionId);
    await ada.post("/session", { json: { n: 2 } });
    assertEquals(await views(ada, client), [{ even: false }, { even: true }]);
  });

  it("emits an error of the bridge when it throws, and breaks no write", async () => {
    const { ada, client, bridge } = await connectedScenario({ n: 1 }, {
      view: ({ n }) => {
        if (n === 2) throw new Error("no view");
        return n;
      },
    });
    const errors = collect<[Error]>(bridge, "error");
    assertEquals(await ada.ask(client, "add"), 2);
    assertEquals(errors.map(([error]) => error.message), ["no view"]);
    await ada.post("/session", { json: { n: 2, user: "ada" } });
    const late = await ada.connect();
    assertEquals((await ada.ask(late, "get")).user, "ada");
    assertEquals(await views(ada, late), []);
  });

  it("is sent as null when it is undefined", async () => {
    const { ada, client } = await connectedScenario({ n: 1 }, {
      view: ({ user }) => user,
    });
    await ada.post("/session", { json: { user: "ada" } });
    assertEquals(await views(ada, client), [null, "ada"]);
  });
});

describe("the option view on several nodes", () => {
  let server: RedisServer;
  withRedisServer((started) => server = started);
  afterEach(closeNodes);

  itNeedsRedis("reaches sockets on each", async () => {
    const nodes = await startNodes(server.port, { options });
    const { at: [here, there], client, sessionId } = await arrive(nodes);
    await there!.event(client, "session:view");
    await here!.post("/session", { json: { n: 2 } });
    await nodes.all[0]!.bridge.withSession(sessionId, ({ session }) => {
      session.user = "ada";
    });
    await until(
      async () => (await views(there!, client)).length === 3,
      "three views",
    );
    assertEquals(await views(there!, client), [
      { even: false },
      { even: true },
      { user: "ada", even: true },
    ]);
  });

  itNeedsRedis("follows a new id", async () => {
    const nodes = await startNodes(server.port, { options });
    const { at: [here, there], client } = await arrive(nodes);
    await there!.event(client, "session:view");
    const rotated = once(client, "session:rotated");
    await here!.post("/regenerate?sockets=follow");
    await rotated;
    await here!.post("/session", { json: { n: 2 } });
    await until(
      async () => (await views(there!, client)).length === 2,
      "the second view",
    );
    assertEquals(await views(there!, client), [{ even: false }, {
      even: true,
    }]);
  });
});
