import {
  assert,
  assertEquals,
  assertFalse,
  assertLess,
  assertNotEquals,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { SessionStore } from "@koa-io/session";
import { native } from "../support/app.ts";
import {
  type ConnectedScenario,
  connectedScenario,
} from "../support/connected_scenario.ts";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  type Stand,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";
import { collect, once, pause } from "../support/wait.ts";

interface Start {
  clientId: string;
  sessionId: string;
  cause: string;
  local: boolean;
}

interface End {
  clientId: string;
  sessionId: string;
  reason: string;
  local: boolean;
}

const kinds: Record<string, () => TestOptions> = {
  "the default store": () => ({}),
  "a custom store": () => ({ store: fakeStore() }),
};

/** Each way to end the scenario's session, and its reason. */
const endings: Record<
  string,
  [reason: string, (it: ConnectedScenario) => unknown]
> = {
  "null over HTTP": ["logout", ({ ada }) => ada.post("/logout")],
  "null in a socket's handler": [
    "logout",
    ({ socket }) =>
      socket.withSession((sessionCtx) => {
        sessionCtx.session = null;
      }),
  ],
  "bridge.destroy": [
    "revoked",
    ({ bridge, sessionId }) => bridge.destroy(sessionId),
  ],
  "another session of its client": [
    "replaced",
    async ({ ada }) => {
      ada.jar.delete(KEY);
      await ada.post("/session", { json: { n: 2 } });
    },
  ],
};

for (const [kind, options] of Object.entries(kinds)) {
  describe(`sessionStart on ${kind}`, () => {
    afterEach(closeServers);

    it("is emitted once, when a request begins a session", async () => {
      const { bridge, browser } = await startServer(options(), routesAndEvents);
      const starts = collect<[Start]>(bridge, "sessionStart");
      const ada = browser();
      await ada.get("/");
      await ada.get("/session");
      assertEquals(starts, []);
      await ada.post("/session", { json: { n: 1 } });
      const sessionId = ada.jar.get(KEY)!;
      const clientId = ada.jar.get(CLIENT_KEY)!;
      const event = { clientId, sessionId, cause: "created", local: true };
      assertEquals(starts, [[event]]);
      await ada.post("/session", { json: { n: 2 } });
      await ada.get("/session");
      const socket = await ada.connect();
      await ada.ask(socket, "add");
      assertEquals(starts.length, 1);
    });

    it("is emitted for the session after a logout", async () => {
      const { bridge, ada, sessionId } = await connectedScenario(
        { n: 1 },
        options(),
      );
      const starts = collect<[Start]>(bridge, "sessionStart");
      await ada.post("/logout");
      await ada.post("/session", { json: { n: 2 } });
      assertEquals(starts.map(([start]) => start.cause), ["created"]);
      assertNotEquals(starts[0]![0].sessionId, sessionId);
    });

    it('has cause "rotated" when regenerate() gives a new id', async () => {
      const { bridge, browser } = await startServer(options(), (parts) => {
        parts.app.use(async (ctx, next) => {
          if (ctx.path === "/rotate") {
            await native(ctx).regenerate();
            ctx.body = "";
          } else await next();
        });
        routesAndEvents(parts);
      });
      const ada = browser();
      await ada.post("/session", { json: { n: 1 } });
      await ada.get("/");
      const clientId = ada.jar.get(CLIENT_KEY)!;
      const before = ada.jar.get(KEY)!;
      const socket = await ada.connect();
      const starts = collect<[Start]>(bridge, "sessionStart");
      const ends = collect<[End]>(bridge, "sessionEnd");
      await ada.get("/rotate");
      const sessionId = ada.jar.get(KEY)!;
      assertNotEquals(sessionId, before);
      assertEquals(starts, [[
        { clientId, sessionId, cause: "rotated", local: true },
      ]]);
      assertEquals(ends, [[
        { clientId, sessionId: before, reason: "rotated", local: true },
      ]]);
      // the socket follows and is sent no end
      assertEquals(await ada.ask(socket, "whoami"), { sessionId, clientId });
      assertEquals(await ada.ask(socket, "add"), 2);
      const heard = ada.received(socket).map(([event]) => event);
      assertFalse(heard.includes("session:end"));
      assert(heard.includes("session:rotated"));
    });
  });

  describe(`sessionEnd on ${kind}`, () => {
    afterEach(closeServers);

    for (const [what, [reason, end]] of Object.entries(endings)) {
      it(`is emitted once, with reason "${reason}", by ${what}`, async () => {
        const it = await connectedScenario({ n: 1 }, options());
        const ends = collect<[End]>(it.bridge, "sessionEnd");
        const clientId = it.ada.jar.get(CLIENT_KEY)!;
        await end(it);
        const { sessionId } = it;
        assertEquals(ends, [[{ clientId, sessionId, reason, local: true }]]);
      });

      it(`sends the client "${reason}", and no id, by ${what}`, async () => {
        const it = await connectedScenario({ n: 1 }, options());
        const clientId = it.ada.jar.get(CLIENT_KEY)!;
        const [first] = await Promise.all([
          it.ada.event(it.client, "session:end"),
          end(it),
        ]);
        assertEquals(first, [{ reason }]);
        assert(it.client.connected);
        const told = JSON.stringify(it.ada.received(it.client));
        assertFalse(told.includes(it.sessionId));
        assertFalse(told.includes(clientId));
      });
    }

    it('has reason "expired" within a second of the end', async () => {
      const { bridge, ada, client, sessionId, socket } =
        await connectedScenario(
          { n: 1 },
          // long enough for the socket to be there before, on a busy machine too
          { ...options(), maxAge: 1_200 },
        );
      const ends = collect<[End]>(bridge, "sessionEnd");
      const since = Date.now();
      const [told] = await Promise.all([
        ada.event(client, "session:end"),
        once(bridge, "sessionEnd"),
      ]);
      assertLess(Date.now() - since, 4_000);
      assertEquals(ends.length, 1);
      assertEquals(ends[0]![0].reason, "expired");
      assertEquals(ends[0]![0].sessionId, sessionId);
      assertEquals(told, [{ reason: "expired" }]);
      assertEquals(socket.sessionId, undefined);
      assertEquals((await ada.get("/session")).json.session, {});
      assertEquals(ends.length, 1);
    });

    it("is not emitted for what never was a session", async () => {
      const { bridge, ada } = await connectedScenario(null, options());
      const ends = collect<[End]>(bridge, "sessionEnd");
      await ada.post("/logout");
      await ada.get("/session");
      assertEquals(await bridge.destroy("nobody"), false);
      assertEquals(ends, []);
    });
  });
}

describe("sessionEnd of what expired and was not removed yet", () => {
  afterEach(closeServers);

  const ways: Record<
    string,
    (it: Stand & { store: SessionStore }, sid: string) => unknown
  > = {
    "bridge.destroy": ({ bridge }, sid) => bridge.destroy(sid),
    "bridge.peek": ({ bridge }, sid) => bridge.peek(sid),
    "store.cleanup": ({ store }) => store.cleanup(),
  };
  for (const [way, find] of Object.entries(ways)) {
    it(`is emitted once, by ${way}`, async () => {
      const store = new SessionStore({ autoCleanup: false });
      const stand = await startServer({ store, maxAge: 50 }, routesAndEvents);
      const ends = collect<[End]>(stand.bridge, "sessionEnd");
      const ada = stand.browser();
      await ada.post("/session", { json: { n: 1 } });
      store.set("a stranger", { n: 0 }, 20);
      await pause(100);
      for (const sid of ["a stranger", ada.jar.get(KEY)!]) {
        await find({ ...stand, store }, sid);
        await find({ ...stand, store }, sid);
      }
      assertEquals(ends.map(([{ reason }]) => reason), ["expired"]);
      assertEquals(stand.bridge.stats().sessions, 0);
      await closeServers();
      store.close();
    });
  }

  it("is emitted once, by a logout of a request that was running", async () => {
    const store = new SessionStore({ autoCleanup: false });
    const stand = await startServer({ store, maxAge: 100 }, (parts) => {
      parts.app.use(async (ctx, next) => {
        if (ctx.path !== "/slow") return await next();
        await pause(200);
        ctx.session = null;
        ctx.body = {};
      });
      routesAndEvents(parts);
    });
    const ends = collect<[End]>(stand.bridge, "sessionEnd");
    const ada = stand.browser();
    await ada.post("/session", { json: { n: 1 } });
    await ada.post("/slow");
    assertEquals(ends.map(([{ reason }]) => reason), ["expired"]);
    await closeServers();
    store.close();
  });
});

describe("sessionStart", () => {
  afterEach(closeServers);

  it('has cause "rebuilt" for a session that is seen first after a restart', async () => {
    const store = new SessionStore();
    const first = await startServer({ store }, routesAndEvents);
    const before = first.browser();
    await before.post("/session", { json: { n: 1 } });
    await before.get("/");
    await first.close();

    const { bridge, browser } = await startServer({ store }, routesAndEvents);
    const starts = collect<[Start]>(bridge, "sessionStart");
    const ada = browser();
    for (const name of before.jar.names()) {
      ada.jar.set(name, before.jar.get(name)!);
    }
    await ada.get("/");
    await ada.get("/");
    await ada.connect();
    assertEquals(starts.map(([start]) => start), [{
      clientId: before.jar.get(CLIENT_KEY)!,
      sessionId: before.jar.get(KEY)!,
      cause: "rebuilt",
      local: true,
    }]);
    await closeServers();
    store.close();
  });

  it("is emitted by each of two bridges on one store, at the first use of the session", async () => {
    const store = new SessionStore();
    store.set("a stranger", { n: 0 });
    const first = await startServer({ store }, routesAndEvents);
    const second = await startServer({ store }, routesAndEvents);
    const starts = collect<[Start]>(second.bridge, "sessionStart");
    const ends = collect<[End]>(second.bridge, "sessionEnd");
    const there = first.browser();
    await there.post("/session", { json: { n: 1 } });
    await there.post("/session", { json: { n: 2 } });
    assertEquals(first.bridge.stats().sessions, 1);
    assertEquals([second.bridge.stats().sessions, starts], [0, []]);
    const here = second.browser();
    for (const name of there.jar.names()) {
      here.jar.set(name, there.jar.get(name)!);
    }
    await here.get("/");
    await here.connect();
    assertEquals(second.bridge.stats().sessions, 1);
    await there.post("/logout");
    store.destroy("a stranger");
    assertEquals(starts.map(([{ cause }]) => cause), ["rebuilt"]);
    assertEquals(ends.map(([{ reason }]) => reason), ["revoked"]);
    assertEquals(second.bridge.stats().sessions, 0);
    await closeServers();
    store.close();
  });

  it("is sent to the client's sockets, without an id", async () => {
    const { ada, client } = await connectedScenario(null);
    await ada.post("/session", { json: { n: 1 } });
    await ada.event(client, "session:start");
    const told = JSON.stringify(ada.received(client));
    assertFalse(told.includes(ada.jar.get(KEY)!));
    assertFalse(told.includes(ada.jar.get(CLIENT_KEY)!));
  });

  it("is not sent to sockets of other clients", async () => {
    const { ada, client, browser } = await connectedScenario(null);
    const bob = browser();
    await bob.get("/");
    const other = await bob.connect();
    await ada.post("/session", { json: { n: 1 } });
    await ada.event(client, "session:start");
    await ada.post("/logout");
    await ada.event(client, "session:end");
    await bob.ask(other, "whoami");
    assertEquals(bob.received(other), []);
  });

  it("is there for listeners added with once, off and prepend", async () => {
    const { bridge, ada } = await connectedScenario(null);
    let calls = 0;
    const listener = () => calls++;
    bridge.once("sessionStart", listener);
    bridge.prependListener("sessionStart", () => calls += 10);
    bridge.on("sessionEnd", listener);
    bridge.off("sessionEnd", listener);
    await ada.post("/session", { json: { n: 1 } });
    await ada.post("/logout");
    await ada.post("/session", { json: { n: 1 } });
    assertEquals(calls, 21);
  });
});

describe("sessionEnd", () => {
  afterEach(closeServers);

  it('has reason "revoked" for a destroy of the store itself', async () => {
    const { bridge, sessionId, socket, ada, client } =
      await connectedScenario();
    const ends = collect<[End]>(bridge, "sessionEnd");
    (bridge.store as SessionStore).destroy(sessionId);
    assertEquals(await ada.event(client, "session:end"), [{
      reason: "revoked",
    }]);
    assertEquals(ends.map(([end]) => end.reason), ["revoked"]);
    assertEquals(socket.sessionId, undefined);
  });

  it('has reason "evicted" when the store needs the room', async () => {
    const store = new SessionStore({ maxEntries: 1 });
    const { bridge, sessionId, browser } = await connectedScenario({ n: 1 }, {
      store,
    });
    const ends = collect<[End]>(bridge, "sessionEnd");
    await browser().post("/session", { json: { n: 2 } });
    assertEquals(ends.length, 1);
    assertEquals(ends[0]![0].reason, "evicted");
    assertEquals(ends[0]![0].sessionId, sessionId);
    await closeServers();
    store.close();
  });

  it('with onSessionEnd: "keep" leaves the sockets connected', async () => {
    const { ada, client, socket } = await connectedScenario({ n: 1 });
    await ada.post("/logout");
    await ada.event(client, "session:end");
    assertEquals((await ada.ask(client, "whoami")).sessionId, undefined);
    await pause(20);
    assert(client.connected && socket.connected);
  });

  it('with onSessionEnd: "disconnect" sends the sockets the reason and closes them', async () => {
    const { ada, client } = await connectedScenario({ n: 1 }, {
      onSessionEnd: "disconnect",
    });
    const [[reason]] = await Promise.all([
      once(client, "disconnect"),
      ada.post("/logout"),
    ]);
    assertEquals(reason, "io server disconnect");
    assertEquals(await ada.event(client, "session:end"), [{
      reason: "logout",
    }]);
  });
});

describe("the bridge's error event", () => {
  afterEach(closeServers);

  it("is emitted only where there is a listener: nothing crashes", async () => {
    const store = fakeStore({ on: true });
    const { ada, bridge, client } = await connectedScenario(
      { n: 1 },
      { store, storeTimeout: 50, maxAge: 300 } as TestOptions,
    );
    assertEquals(bridge.listenerCount("error"), 0);
    // the session's end is looked up in a store that is down by then
    store.fault = "reject";
    await pause(500);
    assert(client.connected);
    store.fault = "none";
    assertEquals((await ada.get("/session")).json.session, {});
  });
});
