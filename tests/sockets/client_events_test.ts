import { assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { Browser, ClientSocket } from "../support/browser.ts";
import { connectedScenario } from "../support/connected_scenario.ts";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import { clearingIntervals } from "../support/intervals.ts";
import { routesAndEvents } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";
import { once } from "../support/wait.ts";

/** What `./client` puts into `auth`. */
const auth = { "koa-io-session": 1 };
const followed = { auth };

/** The bridge's events to a socket, complete up to a later acknowledgement. */
async function told(browser: Browser, socket: ClientSocket) {
  await browser.ask(socket, "whoami");
  return browser.received(socket).filter(([name]) =>
    name.startsWith("session:")
  );
}

describe("a socket that asks for client events", () => {
  afterEach(closeServers);

  it("is sent session:start when it connects into a session", async () => {
    const { ada } = await connectedScenario();
    const socket = await ada.connect("/", followed);
    assertEquals(await told(ada, socket), [["session:start"]]);
  });

  it("is sent session:start when it is the client's first socket", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    const socket = await ada.connect("/", followed);
    assertEquals(await told(ada, socket), [["session:start"]]);
  });

  it("is sent session:none without a session", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    await ada.get("/");
    const socket = await ada.connect("/", followed);
    assertEquals(await told(ada, socket), [["session:none", { client: true }]]);
    await ada.post("/session", { json: { n: 1 } });
    await ada.event(socket, "session:start");
  });

  it("is sent session:none without a client", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    const socket = await ada.connect("/", followed);
    assertEquals(await told(ada, socket), [[
      "session:none",
      { client: false },
    ]]);
  });

  it("is sent session:start after a recovery", async () => {
    await clearingIntervals(async () => {
      const { browser, io } = await startServer({}, routesAndEvents, {
        io: { connectionStateRecovery: {} },
      });
      const ada = browser();
      await ada.post("/session", { json: { n: 1 } });
      const socket = await ada.connect("/", {
        ...followed,
        reconnection: true,
        reconnectionDelay: 1,
      });
      io.emit("offset");
      await ada.event(socket, "offset");
      const back = once(socket, "connect");
      socket.io.engine.close();
      await back;
      assertEquals(socket.recovered, true);
      const names = (await told(ada, socket)).map(([name]) => name);
      assertEquals(names, ["session:start", "session:start"]);
      await closeServers();
    });
  });
});

describe("a socket that does not ask for client events", () => {
  afterEach(closeServers);

  it("is sent no event when it connects", async () => {
    const { ada, browser } = await connectedScenario();
    for (const given of [undefined, {}, { "koa-io-session": 2 }]) {
      const options = given ? { auth: given } : {};
      assertEquals(await told(ada, await ada.connect("/", options)), []);
      const guest = browser();
      assertEquals(await told(guest, await guest.connect("/", options)), []);
    }
  });

  it("is sent session:start when another socket brings it into a session", async () => {
    // two servers without a messenger: neither learns what begins at the other
    const store = fakeStore();
    const here = await startServer({ store }, routesAndEvents);
    const there = await startServer({ store }, routesAndEvents);
    const ada = here.browser();
    await ada.get("/");
    const waiting = await ada.connect();
    await there.browser(ada.jar).post("/session", { json: { n: 1 } });
    assertEquals((await ada.ask(waiting, "whoami")).sessionId, undefined);
    const started = once(waiting, "session:start");
    const socket = await ada.connect();
    await started;
    const who = await ada.ask(socket, "whoami");
    assertEquals(who.clientId, ada.jar.get(CLIENT_KEY));
    assertEquals(who.sessionId, ada.jar.get(KEY));
    assertEquals(await ada.ask(waiting, "whoami"), who);
  });

  it("is not brought into a session that began before its handshake", async () => {
    let welcome = true;
    const { browser } = await startServer(
      { valid: () => welcome },
      routesAndEvents,
    );
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    welcome = false;
    const waiting = await ada.connect();
    const { clientId } = await ada.ask(waiting, "whoami");
    assertEquals(clientId, ada.jar.get(CLIENT_KEY));
    welcome = true;
    const socket = await ada.connect();
    assertEquals(await ada.ask(socket, "get"), { n: 1 });
    assertEquals(await ada.ask(waiting, "whoami"), { clientId });
    assertEquals(await told(ada, waiting), []);
  });
});
