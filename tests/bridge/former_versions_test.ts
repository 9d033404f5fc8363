/** Features of 1.0.0 and 3.x, in the replacements that docs/migrating.md names. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import {
  SessionMissingError,
  type SessionStart,
  SessionStore,
  type SessionStoreOptions,
} from "@koa-io/session";
import { routesAndEvents } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";
import { collect, once, until } from "../support/wait.ts";

const stores: SessionStore[] = [];

/** Node 20 cannot read `using`. */
function newStore(options?: SessionStoreOptions): SessionStore {
  const store = new SessionStore(options);
  stores.push(store);
  return store;
}

async function closeAll(): Promise<void> {
  await closeServers();
  for (const store of stores.splice(0)) store.close();
}

/** A server, and a browser that has a session and a socket in it. */
async function visited(options: Parameters<typeof startServer>[0] = {}) {
  const stand = await startServer(options, routesAndEvents);
  const ada = stand.browser();
  const { json } = await ada.post("/session", { json: { user: "ada" } });
  const socket = await ada.connect();
  const { sessionId, clientId } = await ada.ask(socket, "whoami");
  assertEquals(json.clientId, clientId);
  return { ...stand, ada, socket, sessionId, clientId };
}

describe("features of 1.0.0", () => {
  afterEach(closeAll);

  it("session:destroy and a disconnect 200 ms later: onSessionEnd with an event", async () => {
    const onSessionEnd = { disconnectAfter: 200, event: "session:destroy" };
    const { ada, socket } = await visited({ onSessionEnd });
    const from = Date.now();
    const closed = once(socket, "disconnect");
    await ada.post("/logout");
    await ada.event(socket, "session:destroy");
    assert(socket.connected);
    await closed;
    // timers may fire slightly early
    assert(Date.now() - from > 190);
  });

  it("the room of a session: bridge.toSession", async () => {
    const { ada, socket, bridge, sessionId } = await visited();
    bridge.toSession(sessionId).emit("news", 1);
    assertEquals(await ada.event(socket, "news"), [1]);
  });

  it("store.touch: a hint that prolongs a life", () => {
    const store = newStore({ maxAge: 60_000, autoCleanup: false });
    store.set("id", { n: 1 }, 60_000);
    assertEquals(store.touch("id", 120_000), true);
    assertEquals(store.touch("another", 120_000), false);
    assertEquals(store.get("id")?.n, 1);
  });

  it("a store with touch: works, and active sockets prolong its sessions with or without", async () => {
    const store = Object.assign(fakeStore({ on: true }), { touch() {} });
    const { ada, socket, sessionId } = await visited({
      store,
      touchInterval: 1,
    });
    const end = () => store.peek(sessionId)!._expire as number;
    const before = end();
    await until(async () => {
      await ada.ask(socket, "whoami");
      return end() > before;
    }, "a later end");
  });

  it("Error for a session that is not there: SessionMissingError", async () => {
    const { bridge } = await startServer();
    await assertRejects(
      () => bridge.withSession("unknown", () => {}),
      SessionMissingError,
      "Session missing",
    );
  });
});

describe("features of 3.x", () => {
  afterEach(closeAll);

  it("getSessionId, getClientId: sessionIdOf, clientIdOf", async () => {
    const { bridge, sessionId, clientId } = await visited();
    assertEquals(await bridge.sessionIdOf(clientId), sessionId);
    assertEquals(await bridge.clientIdOf(sessionId), clientId);
    assertEquals(await bridge.sessionIdOf("unknown"), undefined);
    assertEquals(await bridge.clientIdOf("unknown"), undefined);
  });

  it("getById, getByClientId: peek", async () => {
    const { bridge, sessionId, clientId } = await visited();
    assertEquals(await bridge.peek(sessionId), { user: "ada" });
    const own = await bridge.sessionIdOf(clientId);
    assertEquals(await bridge.peek(own!), { user: "ada" });
    assertEquals(await bridge.peek("unknown"), undefined);
  });

  it("setById, setByClientId: withSession, which makes no session either", async () => {
    const { bridge, ada, socket, sessionId, clientId } = await visited();
    await bridge.withSession(sessionId, (view) => {
      view.session = { user: "grace" };
    });
    assertEquals(await ada.ask(socket, "get"), { user: "grace" });
    const own = await bridge.sessionIdOf(clientId);
    await bridge.withSession(own!, ({ session }) => {
      session!.n = 1;
    });
    assertEquals((await ada.get("/session")).json.session, {
      user: "grace",
      n: 1,
    });
    assertEquals(await bridge.withSession("unknown", () => 1, false), false);
    assertEquals(await bridge.peek("unknown"), undefined);
  });

  it("destroyById, destroyByClientId: destroy", async () => {
    const { bridge, ada, socket, sessionId, clientId } = await visited();
    const own = await bridge.sessionIdOf(clientId);
    assertEquals(await bridge.destroy(own!), true);
    assertEquals(await bridge.destroy(sessionId), false);
    const ended = [{ reason: "revoked" }];
    assertEquals(await ada.event(socket, "session:end"), ended);
  });

  it("sessionSet and sessionDestroy: sessionStart with its cause, sessionChange, sessionEnd", async () => {
    const store = newStore();
    const first = await startServer({ store }, routesAndEvents);
    const starts = collect<[SessionStart]>(first.bridge, "sessionStart");
    const changes = collect(first.bridge, "sessionChange");
    const ada = first.browser();
    await ada.post("/session", { json: { n: 1 } });
    assertEquals(starts.map(([{ cause }]) => cause), ["created"]);
    await ada.post("/session", { json: { n: 2 } });
    assertEquals(changes.length, 1);
    await first.close();

    const second = await startServer({ store }, routesAndEvents);
    const again = collect<[SessionStart]>(second.bridge, "sessionStart");
    const ends = collect<[{ reason: string }]>(second.bridge, "sessionEnd");
    const late = second.browser();
    await late.get("/session", { jar: ada.jar });
    assertEquals(again.map(([{ cause }]) => cause), ["rebuilt"]);
    await late.post("/logout", { jar: ada.jar });
    assertEquals(ends.map(([{ reason }]) => reason), ["logout"]);
  });

  it("notifyStoreDestroy: peek, after which the session has ended for all", async () => {
    const store = fakeStore();
    const { bridge, ada, socket, sessionId } = await visited({ store });
    store.kept.delete(sessionId);
    assertEquals(await bridge.peek(sessionId), undefined);
    const ended = [{ reason: "revoked" }];
    assertEquals(await ada.event(socket, "session:end"), ended);
    assertEquals((await ada.ask(socket, "whoami")).sessionId, undefined);
  });

  it("notifyStoreSet: nothing, as each use reads the store", async () => {
    const store = newStore();
    const { ada, socket, sessionId } = await visited({ store });
    store.set(sessionId, { ...store.get(sessionId), n: 7 });
    assertEquals((await ada.ask(socket, "get")).n, 7);
    assertEquals((await ada.get("/session")).json.session.n, 7);
  });

  it("cleanup and its timer: autoCleanup, store.cleanup, its event", async () => {
    const store = newStore({ autoCleanup: true, autoCleanupMs: 10 });
    store.set("short", { n: 1 }, 20);
    const cleared = await once<[SessionStore, number]>(
      { on: (e, f) => store.on(e, f), off: (e, f) => store.off(e, f) },
      "cleanup",
    );
    assertEquals(cleared[1], 1);
    assertEquals(store.size, 0);
  });

  it("cookies of former defaults: key sid, clientKey cid", async () => {
    const { ada } = await visited({ key: "sid", clientKey: "cid" });
    const names = ada.jar.header()?.split("; ").map((it) => it.split("=")[0]);
    assertEquals(names?.sort(), ["cid", "cid.sig", "sid", "sid.sig"]);
  });
});
