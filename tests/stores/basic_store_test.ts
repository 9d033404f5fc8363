import {
  assert,
  assertEquals,
  assertFalse,
  assertGreater,
  assertNotEquals,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { Browser } from "../support/browser.ts";
import { connectedScenario } from "../support/connected_scenario.ts";
import { KEY, signCookie, SIGNING_KEY } from "../support/cookies.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import {
  type FakeStore,
  fakeStore,
  type Stored,
} from "../support/stores/fake_store.ts";
import { collect, pause } from "../support/wait.ts";

const on = (store: FakeStore, more: TestOptions = {}) =>
  ({ ...more, store }) as TestOptions;

const HOUR = 3_600_000;

/** A browser whose cookie names a session that is in the store already. */
function bring(browser: Browser, sid: string): void {
  browser.jar.set(KEY, sid);
  browser.jar.set(`${KEY}.sig`, signCookie(KEY, sid, SIGNING_KEY));
}

for (const sync of [true, false]) {
  for (const tells of [true, false]) {
    const kind = `a ${sync ? "sync" : "async"} store ${
      tells ? "with" : "without"
    } on`;
    describe(kind, () => {
      afterEach(closeServers);

      it("shares one session over HTTP and sockets", async () => {
        const store = fakeStore({ sync, on: tells });
        const { ada, client, bridge, sessionId } = await connectedScenario(
          { n: 1 },
          on(store),
        );
        assert(bridge.store === store);
        assertEquals(await ada.ask(client, "add"), 2);
        assertEquals((await ada.get("/session")).json.session, { n: 2 });
        assertEquals(store.peek(sessionId)?.n, 2);
      });

      it("lets a session end from a socket and from HTTP", async () => {
        const store = fakeStore({ sync, on: tells });
        const { ada, client, bridge } = await connectedScenario(
          { n: 1 },
          on(store),
        );
        const ends = collect<[{ reason: string }]>(bridge, "sessionEnd");
        assertEquals(await ada.ask(client, "destroy"), true);
        assertEquals(store.kept.size, 0);
        assertEquals((await ada.get("/session")).json.session, {});
        await ada.post("/session", { json: { n: 2 } });
        await ada.post("/logout");
        assertEquals(store.kept.size, 0);
        assertEquals(
          ends.map(([end]) => end.reason),
          ["logout", "logout"],
        );
      });

      it("loses no update of parallel handlers", async () => {
        const store = fakeStore({ sync, on: tells });
        const { ada, client } = await connectedScenario({ n: 0 }, on(store));
        await Promise.all(
          Array.from({ length: 30 }, () => ada.ask(client, "add")),
        );
        assertEquals((await ada.get("/session")).json.session, { n: 30 });
      });

      it("leaves the socket without a session when it loses the session", async () => {
        const store = fakeStore({ sync, on: tells });
        const { ada, client, bridge, sessionId } = await connectedScenario(
          { n: 1 },
          on(store),
        );
        const ends = collect<[{ reason: string; sessionId: string }]>(
          bridge,
          "sessionEnd",
        );
        store.lose(sessionId);
        if (tells) {
          assertEquals(await ada.event(client, "session:end"), [{
            reason: "revoked",
          }]);
        }
        assertEquals((await ada.ask(client, "get")).error, "Session missing");
        assertEquals((await ada.ask(client, "whoami")).sessionId, undefined);
        assertEquals(ends.length, 1);
        assertEquals(ends[0]![0].sessionId, sessionId);
        assertEquals((await ada.get("/session")).json.session, {});
      });
    });
  }
}

describe("what a custom store keeps", () => {
  afterEach(closeServers);

  it("is koa-session's own object plus one _bridge key", async () => {
    const store = fakeStore();
    const { ada, client, sessionId } = await connectedScenario(
      { user: "ada" },
      on(store),
    );
    const keys = () => Object.keys(store.peek(sessionId)!).sort();
    assertEquals(keys(), ["_bridge", "_expire", "_maxAge", "user"]);
    await ada.ask(client, "add");
    assertEquals(keys(), ["_bridge", "_expire", "_maxAge", "n", "user"]);
    await ada.post("/replace", { json: { n: 5 } });
    assertEquals(keys(), ["_bridge", "_expire", "_maxAge", "n"]);
  });

  it("hides its bookkeeping from handlers and answers", async () => {
    const store = fakeStore();
    const { ada, client } = await connectedScenario({ n: 1 }, on(store));
    assertEquals(await ada.ask(client, "get"), { n: 1 });
    assertEquals((await ada.get("/session")).json.session, { n: 1 });
  });

  it("has a true _expire after a socket's write", async () => {
    const store = fakeStore();
    const { ada, client, sessionId } = await connectedScenario(
      { n: 1 },
      on(store, { maxAge: HOUR, touchInterval: 1 }),
    );
    const before = store.peek(sessionId)!._expire as number;
    await pause(30);
    await ada.ask(client, "add");
    const after = store.peek(sessionId)!;
    assertGreater(after._expire as number, before);
    const ahead = after._expire as number - Date.now();
    assert(ahead > HOUR - 5_000 && ahead <= HOUR, `${ahead}`);
    assertEquals(after._maxAge, HOUR);
  });

  it("is handed over with a time to live in ms, from sockets too", async () => {
    const store = fakeStore();
    const { ada, client } = await connectedScenario(
      { n: 1 },
      on(store, { maxAge: HOUR }),
    );
    await ada.ask(client, "add");
    const sets = store.calls.filter(([operation]) => operation === "set");
    for (const [, , , maxAge] of sets) {
      assert(typeof maxAge === "number", `${maxAge}`);
      assert(maxAge > HOUR - 5_000 && maxAge <= HOUR + 10_000, `${maxAge}`);
    }
  });

  it('keeps the mark of maxAge: "session" through a socket\'s write', async () => {
    const store = fakeStore();
    const { ada, client, sessionId } = await connectedScenario(
      { n: 1 },
      on(store, { maxAge: "session" }),
    );
    assertEquals(await ada.ask(client, "add"), 2);
    assertEquals(store.peek(sessionId)!._session, true);
    const answer = await ada.post("/session", { json: { n: 3 } });
    assertFalse("expires" in answer.cookie(KEY)!.attributes);
  });
});

describe("objects that koa-session stored without the bridge", () => {
  afterEach(closeServers);

  const legacy: Record<string, Stored> = {
    "with _expire": { user: "ada", _expire: Date.now() + HOUR, _maxAge: HOUR },
    "with _session": { user: "ada", _session: true },
    "without bookkeeping": { user: "ada" },
  };

  for (const [what, stored] of Object.entries(legacy)) {
    it(`load over HTTP, then in a socket: ${what}`, async () => {
      const store = fakeStore();
      store.kept.set("legacy", JSON.stringify(stored));
      const { browser } = await startServer(on(store), routesAndEvents);
      const ada = browser();
      bring(ada, "legacy");
      const { session, sessionId } = (await ada.get("/session")).json;
      assertEquals([session, sessionId], [{ user: "ada" }, "legacy"]);
      const socket = await ada.connect();
      assertEquals(await ada.ask(socket, "add"), 1);
      assertEquals((await ada.get("/session")).json.session, {
        user: "ada",
        n: 1,
      });
    });

    it(`load in a socket first: ${what}`, async () => {
      const store = fakeStore();
      store.kept.set("legacy", JSON.stringify(stored));
      const { browser } = await startServer(on(store), routesAndEvents);
      const ada = browser();
      await ada.get("/");
      bring(ada, "legacy");
      const socket = await ada.connect();
      assertEquals(await ada.ask(socket, "get"), { user: "ada" });
    });
  }

  it("that have expired open nothing", async () => {
    const store = fakeStore();
    const stored = { user: "ada", _expire: Date.now() - 1, _maxAge: HOUR };
    store.kept.set("legacy", JSON.stringify(stored));
    const { browser } = await startServer(on(store), routesAndEvents);
    const ada = browser();
    await ada.get("/");
    bring(ada, "legacy");
    const socket = await ada.connect();
    assertEquals((await ada.ask(socket, "get")).error, "Session missing");
    assertEquals((await ada.get("/session")).json.session, {});
  });

  it("that are no sessions at all open nothing and break nothing", async () => {
    const store = fakeStore();
    const { browser } = await startServer(on(store), routesAndEvents);
    const garbage = ['"text"', "5", "true", "[1,2]", "null", "[]"];
    for (const [i, text] of garbage.entries()) {
      store.kept.set(`g${i}`, text);
      const ada = browser();
      await ada.get("/");
      bring(ada, `g${i}`);
      const socket = await ada.connect();
      assertEquals((await ada.ask(socket, "get")).error, "Session missing");
      const answer = await ada.get("/session");
      assertEquals([answer.status, answer.json.session], [200, {}], text);
    }
  });

  it("whose _bridge is forged or foreign load as ordinary ones", async () => {
    const store = fakeStore();
    const { browser } = await startServer(on(store), routesAndEvents);
    for (const [i, _bridge] of [5, "x", null, [], {}, { a: 1 }].entries()) {
      const sid = `b${i}`;
      store.kept.set(sid, JSON.stringify({ user: "ada", _bridge }));
      const ada = browser();
      bring(ada, sid);
      const { session } = (await ada.get("/session")).json;
      assertEquals(session, { user: "ada" });
      await ada.post("/session", { json: { n: 1 } });
      assertEquals((await ada.get("/session")).json.session, {
        user: "ada",
        n: 1,
      });
      assertNotEquals(store.peek(sid)?._bridge, _bridge);
    }
  });
});
