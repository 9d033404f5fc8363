import { afterEach, describe, it } from "@std/testing/bdd";
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { BridgeRooms } from "../support/bridge_rooms.ts";
import { KEY } from "../support/cookies.ts";
import { codeOf } from "../support/errors.ts";
import { type Scenario, startScenario } from "../support/scenario.ts";
import { closeServers, type TestOptions } from "../support/server.ts";
import { LateStore } from "../support/stores/late_store.ts";
import { collect, deferred, until } from "../support/wait.ts";

interface LateScene extends Scenario {
  readonly late: LateStore;
  readonly rooms: BridgeRooms;
}

async function lateScene(options: TestOptions = {}): Promise<LateScene> {
  const late = new LateStore();
  const scenario = await startScenario({ store: late, ...options });
  const rooms = new BridgeRooms(scenario.io);
  scenario.bridge.toSession("none");
  return Object.assign(scenario, { late, rooms });
}

describe("a read that is answered after the session ended", () => {
  afterEach(closeServers);

  it("starts nothing and puts no socket back, read by a request", async () => {
    const { late, rooms, visit, bridge } = await lateScene();
    const { browser, connect, sessionId } = await visit({ n: 1 });
    const { server } = await connect();
    const starts = collect(bridge, "sessionStart");
    const ends = collect(bridge, "sessionEnd");
    const { called, gate } = late.hold("get");
    const slow = browser.get("/session");
    await called.promise;
    assert(await bridge.destroy(sessionId));
    gate.resolve();
    assertEquals((await slow).json.session, {});
    assertEquals([starts.length, ends.length], [0, 1]);
    assertEquals([server.sessionId, rooms.of(server)], [undefined, []]);
    assertEquals(bridge.stats().sessions, 0);
  });

  it("lets no socket in, read by a handshake", async () => {
    const { late, rooms, visit, bridge } = await lateScene({
      user: () => "ada",
    });
    const { browser, connect, sessionId } = await visit({ n: 1 });
    const starts = collect(bridge, "sessionStart");
    const { called, gate } = late.hold("get");
    const connecting = connect();
    await called.promise;
    await browser.post("/logout");
    assertStrictEquals(late.entries.has(sessionId), false);
    gate.resolve();
    const { server } = await connecting;
    assertEquals(starts, []);
    assertEquals([server.sessionId, rooms.of(server)], [undefined, []]);
  });

  it("binds nothing, when the handshake was about to", async () => {
    const { late, browser, bridge } = await lateScene();
    const visitor = browser();
    await visitor.post("/session", { json: { n: 1 } });
    const [sessionId] = late.entries.keys();
    const starts = collect(bridge, "sessionStart");
    const { called, gate } = late.hold("set");
    const connecting = visitor.connect();
    await called.promise;
    assert(await bridge.destroy(sessionId!));
    gate.resolve();
    const client = await connecting;
    const { sessionId: joined } = await visitor.ask(client, "whoami") as {
      sessionId?: string;
    };
    assertEquals([joined, starts, late.entries.size], [undefined, [], 0]);
  });

  it("continues under the new id after a rotation", async () => {
    const { late, visit, bridge, route } = await lateScene();
    route("/regenerate", (ctx) => ctx.regenerateSession());
    const { browser, sessionId, clientId } = await visit({ n: 1 });
    const starts = collect(bridge, "sessionStart");
    const { called, gate } = late.hold("get");
    const slow = browser.get("/session");
    await called.promise;
    await browser.post("/regenerate");
    gate.resolve();
    const { json } = await slow;
    const now = await bridge.sessionIdOf(clientId);
    assert(now !== undefined && now !== sessionId);
    assertEquals([json.session, json.sessionId], [{ n: 1 }, now]);
    assertEquals(starts.length, 1);
  });

  it("hides nothing of a session that is begun again under the same id", async () => {
    const ids = ["the-same-id-as-ever", "the-same-id-as-ever"];
    const { late, browser, bridge } = await lateScene({
      genid: () => ids.pop()!,
    });
    const sid = ids[0]!;
    const ends = collect(bridge, "sessionEnd");
    for (const n of [1, 2]) {
      await browser().post("/session", { json: { n } });
      assertEquals(await bridge.peek(sid), { n });
      assert(await bridge.destroy(sid));
    }
    assertEquals(ends.length, 2);
    late.entries.set(sid, JSON.stringify({ n: 3 }));
    assertEquals(await bridge.peek(sid), { n: 3 });
    assert(await bridge.destroy(sid));
  });
});

describe("a write that lands after the session ended", () => {
  afterEach(closeServers);

  it("is undone when no caller waits for it any more", async () => {
    const { late, visit, bridge } = await lateScene({
      storeTimeout: 60,
    });
    const { browser, sessionId } = await visit({ n: 1 });
    const { gate } = late.hold("set");
    const writing = bridge.withSession(sessionId, ({ session }) => {
      session.n = 2;
    });
    assertStrictEquals(await codeOf(writing), "SESSION_STORE");
    assert(await bridge.destroy(sessionId));
    const undone = late.hold("destroy");
    undone.gate.resolve();
    gate.resolve();
    await undone.called.promise;
    assertStrictEquals(late.entries.has(sessionId), false);
    assertEquals((await browser.get("/session")).json.session, {});
  });

  it("is hidden from reads until it is undone", async () => {
    const { late, visit, bridge } = await lateScene();
    const { sessionId } = await visit({ n: 1 });
    const { called, gate } = late.hold("set");
    const writing = codeOf(bridge.withSession(sessionId, ({ session }) => {
      session.n = 2;
    }));
    await called.promise;
    assert(await bridge.destroy(sessionId));
    const undo = late.hold("destroy");
    // stored again until the store has removed it
    late.entries.set(sessionId, JSON.stringify({ n: 2 }));
    assertStrictEquals(await bridge.peek(sessionId), undefined);
    gate.resolve();
    await undo.called.promise;
    late.entries.set(sessionId, JSON.stringify({ n: 2 }));
    assertStrictEquals(await bridge.peek(sessionId), undefined);
    const found = bridge.withSession(sessionId, () => "found", "missing");
    assertStrictEquals(await found, "missing");
    late.entries.delete(sessionId);
    undo.gate.resolve();
    assertStrictEquals(await writing, "SESSION_ENDED");
    assertStrictEquals(await bridge.peek(sessionId), undefined);
  });

  it("is undone when it was answered while the end was under way", async () => {
    const { late, visit, bridge } = await lateScene();
    const { sessionId } = await visit({ n: 1 });
    const write = late.hold("set");
    const writing = codeOf(bridge.withSession(sessionId, ({ session }) => {
      session.n = 2;
    }));
    await write.called.promise;
    const end = late.hold("destroy");
    const ending = bridge.destroy(sessionId);
    await end.called.promise;
    write.gate.resolve();
    await until(() => late.entries.has(sessionId), "the write");
    end.gate.resolve();
    assert(await ending);
    assertStrictEquals(await writing, "SESSION_ENDED");
    assertStrictEquals(late.entries.has(sessionId), false);
  });
});

describe("a logout of a request that loaded the session before it ended", () => {
  afterEach(closeServers);

  async function slowLogout(scenario: Scenario) {
    const [loaded, gate] = [deferred(), deferred()];
    scenario.route("/slow-logout", async (ctx) => {
      loaded.resolve();
      await gate.promise;
      ctx.session = null;
    });
    const visitor = await scenario.visit({ n: 1 });
    const answer = visitor.browser.post("/slow-logout", { keep: false });
    await loaded.promise;
    return { gate, answer, ...visitor };
  }

  for (const basic of [true, false]) {
    const store = () => basic ? { store: new LateStore() } : {};
    const where = basic ? "a basic store" : "SessionStore";

    it(`is not emitted again, on ${where}`, async () => {
      const scenario = await startScenario(store());
      const { gate, answer, browser } = await slowLogout(scenario);
      const ends = collect(scenario.bridge, "sessionEnd");
      await browser.post("/logout");
      gate.resolve();
      await answer;
      assertEquals(ends.length, 1);
      assertStrictEquals(scenario.bridge.stats().ended.logout, 1);
    });

    it(`ends it under its new id, on ${where}`, async () => {
      const scenario = await startScenario(store());
      scenario.route("/regenerate", (ctx) => ctx.regenerateSession());
      const { gate, answer, browser, clientId } = await slowLogout(scenario);
      await browser.post("/regenerate");
      const now = await scenario.bridge.sessionIdOf(clientId);
      assert(now !== undefined);
      gate.resolve();
      assertStrictEquals((await answer).cookie(KEY), undefined);
      assertStrictEquals(await scenario.peek(now), undefined);
    });
  }
});

describe("a read that began before the session was stored", () => {
  afterEach(closeServers);

  it("does not end it when it is answered afterwards", async () => {
    const { late, browser: newBrowser, bridge } = await lateScene();
    const browser = newBrowser();
    await browser.get("/");
    const ends = collect(bridge, "sessionEnd");
    const starts = collect(bridge, "sessionStart");
    const writing = late.hold("set");
    const beginning = browser.post("/session", { json: { n: 1 } });
    await writing.called.promise;
    // a guest asks for the session of its client, which is indexed and not stored
    const reading = late.hold("get");
    await browser.connect();
    await reading.called.promise;
    writing.gate.resolve();
    await beginning;
    assertEquals(starts.length, 1);
    reading.gate.resolve();
    assertEquals((await browser.get("/session")).json.session, { n: 1 });
    assertEquals(ends, []);
    assertEquals(bridge.stats().sessions, 1);
  });

  it("does not make its client's next session leave it alive", async () => {
    const { late, browser: newBrowser, bridge } = await lateScene();
    const browser = newBrowser();
    await browser.get("/");
    const writing = late.hold("set");
    const beginning = browser.post("/session", { json: { n: 1 } });
    await writing.called.promise;
    const reading = late.hold("get");
    await browser.connect();
    await reading.called.promise;
    writing.gate.resolve();
    await beginning;
    reading.gate.resolve();
    browser.jar.delete(KEY);
    await browser.post("/session", { json: { n: 2 } });
    assertEquals(late.entries.size, 1);
    assertEquals(bridge.stats().sessions, 1);
  });
});

describe("an expiry on a ContextStore", () => {
  afterEach(closeServers);

  async function contextScene(options: TestOptions) {
    const late = new LateStore();
    class ContextStore {
      get(sid: string) {
        return late.get(sid);
      }
      set(sid: string, session: Record<string, unknown>) {
        return late.set(sid, session);
      }
      destroy(sid: string) {
        return late.destroy(sid);
      }
    }
    const scenario = await startScenario({ ContextStore, ...options });
    return { ...scenario, late };
  }

  it("is accepted, as the store cannot be read by the id alone", async () => {
    const { browser, bridge, errors } = await contextScene({ maxAge: 100 });
    const failed = collect(bridge, "error");
    await browser().post("/session", { json: { n: 1 } });
    assertStrictEquals(bridge.stats().sessions, 1);
    await until(() => bridge.stats().sessions === 0, "the expiry");
    assertEquals([failed, errors], [[], []]);
    assertStrictEquals(bridge.stats().ended.expired, 1);
  });

  it("is read with the context of a socket, where there is one", async () => {
    const { visit, late, bridge } = await contextScene({ maxAge: 400 });
    const { sessionId, connect } = await visit({ n: 1 });
    const { server } = await connect();
    const stored = JSON.parse(late.entries.get(sessionId)!);
    stored._expire += 60_000;
    late.entries.set(sessionId, JSON.stringify(stored));
    const { called, gate } = late.hold("get");
    gate.resolve();
    await called.promise;
    assertStrictEquals(bridge.stats().ended.expired, 0);
    assertStrictEquals(server.sessionId, sessionId);
  });
});
