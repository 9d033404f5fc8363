import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { SessionStore } from "@koa-io/session";
import type { Browser } from "../support/browser.ts";
import { connectedScenario } from "../support/connected_scenario.ts";
import { CLIENT_KEY, CookieJar, KEY } from "../support/cookies.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";
import { collect } from "../support/wait.ts";

/** A jar with the session cookie of one and the client cookie of another. */
function mixed(session: CookieJar, client: CookieJar): CookieJar {
  const jar = new CookieJar();
  for (const [from, name] of [[session, KEY], [client, CLIENT_KEY]] as const) {
    for (const cookie of [name, `${name}.sig`]) {
      const value = from.get(cookie);
      if (value !== undefined) jar.set(cookie, value);
    }
  }
  return jar;
}

/** The session and client that a new socket with these cookies is given. */
async function socketOf(browser: Browser, jar?: CookieJar) {
  const socket = await browser.connect("/", jar && { jar });
  const { sessionId, clientId } = await browser.ask(socket, "whoami");
  socket.disconnect();
  return { sessionId, clientId };
}

const stores: Record<string, () => TestOptions> = {
  "the default store": () => ({}),
  "a custom store": () => ({ store: fakeStore() }),
};

for (const [kind, options] of Object.entries(stores)) {
  describe(`which session a client has, on ${kind}`, () => {
    afterEach(closeServers);

    it("rule 1: the request that begins a session binds it at once", async () => {
      const { browser, bridge } = await startServer(options(), routesAndEvents);
      const starts = collect(bridge, "sessionStart");
      const ada = browser();
      await ada.post("/session", { json: { n: 1 } });
      const sessionId = ada.jar.get(KEY);
      const clientId = ada.jar.get(CLIENT_KEY);
      assertEquals(starts, [[
        { sessionId, clientId, cause: "created", local: true },
      ]]);
      assertEquals(await socketOf(ada), { sessionId, clientId });
      assertEquals(starts.length, 1);
    });

    for (const first of ["request", "handshake"] as const) {
      it(`rule 2: the first ${first} that brings the session back settles it`, async () => {
        const { browser } = await startServer(options(), routesAndEvents);
        // two first requests in parallel: one answer sets the session cookie,
        // the other one sets the client cookie last
        const ada = browser();
        const empty = new CookieJar();
        const [began, other] = await Promise.all([
          ada.post("/session", { json: { n: 1 }, jar: empty, keep: false }),
          ada.get("/", { jar: empty, keep: false }),
        ]);
        ada.jar.apply(began.setCookies);
        ada.jar.apply(other.setCookies);
        const sessionId = began.cookie(KEY)?.value;
        const clientId = other.cookie(CLIENT_KEY)?.value;
        assertNotEquals(clientId, began.cookie(CLIENT_KEY)?.value);

        if (first === "request") {
          const { json } = await ada.get("/");
          assertEquals(json, { sessionId, clientId });
        }
        assertEquals(await socketOf(ada), { sessionId, clientId });
        assertEquals(ada.jar.get(CLIENT_KEY), clientId);
        assertEquals((await ada.get("/session")).json.session, { n: 1 });

        // settled: the client id that the session began with is now another's
        const old = new CookieJar();
        old.apply(began.setCookies);
        const seen = await socketOf(ada, old);
        assertNotEquals(seen.sessionId, sessionId);
      });
    }

    it("rule 2: two parallel logins leave the browser with one session", async () => {
      const { browser } = await startServer(options(), routesAndEvents);
      const ada = browser();
      const jar = new CookieJar();
      const [one, two] = await Promise.all(
        [1, 2].map((n) =>
          ada.post("/session", { json: { n }, jar, keep: false })
        ),
      );
      ada.jar.apply(two!.setCookies);
      const crossed = mixed(jarOf(one!), jarOf(two!));
      for (const name of crossed.names()) {
        ada.jar.set(name, crossed.get(name)!);
      }
      const { session } = (await ada.get("/session")).json;
      assertEquals(session, { n: 1 });
      const { sessionId } = await socketOf(ada);
      assertEquals(sessionId, one!.cookie(KEY)?.value);
      assertEquals((await ada.get("/session")).json.session, { n: 1 });
    });

    for (const settled of [false, true]) {
      const which = settled ? "a settled" : "a provisional";
      it(`rule 2: ${which} binding outlives a restart`, async () => {
        // a store that the bridge did not make survives it
        const given = options();
        const store = given.store ?? new SessionStore();
        const first = await startServer({ ...given, store }, routesAndEvents);
        const before = first.browser();
        await before.post("/session", { json: { n: 1 } });
        if (settled) await before.get("/");
        await first.close();

        const second = await startServer({ ...given, store }, routesAndEvents);
        const starts = collect(second.bridge, "sessionStart");
        const ada = second.browser();
        for (const name of before.jar.names()) {
          ada.jar.set(name, before.jar.get(name)!);
        }
        const mallory = second.browser();
        await mallory.get("/");
        const own = {
          sessionId: before.jar.get(KEY),
          clientId: before.jar.get(CLIENT_KEY),
        };
        if (settled) {
          const stolen = mixed(ada.jar, mallory.jar);
          const { sessionId } = await socketOf(mallory, stolen);
          assertEquals(sessionId, undefined);
        }
        assertEquals(await socketOf(ada), own);
        assertEquals((await ada.get("/")).json, own);
        assertEquals(
          starts.filter(([event]) =>
            (event as { cause: string }).cause === "rebuilt"
          ).length,
          1,
        );
        assertEquals(starts[0], [{ ...own, cause: "rebuilt", local: true }]);
        assertEquals((await ada.get("/session")).json.session, { n: 1 });
        await second.close();
        if (store instanceof SessionStore) store.close();
      });
    }

    it("rule 3: a bound session refuses sockets of another client", async () => {
      const { ada, browser, sessionId } = await connectedScenario(
        { n: 1 },
        options(),
      );
      const mallory = browser();
      await mallory.get("/");
      const stolen = mixed(ada.jar, mallory.jar);
      for (const transports of [["websocket"], ["polling"]]) {
        const socket = await mallory.connect("/", { jar: stolen, transports });
        const seen = await mallory.ask(socket, "whoami");
        assertEquals(seen.sessionId, undefined);
        assertEquals(
          (await mallory.ask(socket, "get")).error,
          "Session missing",
        );
      }
      assertEquals((await socketOf(ada)).sessionId, sessionId);
    });

    it("rule 3: HTTP is served by koa-session's own cookie", async () => {
      const { ada, browser } = await connectedScenario({ n: 1 }, options());
      const other = browser();
      await other.get("/");
      const jar = mixed(ada.jar, other.jar);
      const answer = await other.get("/session", { jar, keep: false });
      assertEquals(answer.json.session, { n: 1 });
      assertEquals(answer.cookie(KEY), undefined);
    });

    it("rule 3: a live session wins, only the client cookie is corrected", async () => {
      const { ada, browser, sessionId } = await connectedScenario(
        { n: 1 },
        options(),
      );
      const clientId = ada.jar.get(CLIENT_KEY);
      const bob = browser();
      await bob.post("/session", { json: { n: 2 } });
      await bob.get("/");
      const jar = mixed(ada.jar, bob.jar);
      const answer = await bob.get("/", { jar });
      assertEquals(answer.cookie(KEY), undefined);
      assertEquals(answer.cookie(CLIENT_KEY)?.value, clientId);
      assertEquals(answer.json, { sessionId, clientId });
      assertEquals(await socketOf(bob, jar), { sessionId, clientId });
      // bob's own session is not harmed
      assertEquals((await bob.get("/session")).json.session, { n: 2 });
    });

    it("rule 4: a dead session's cookie opens nothing, whatever client cookie comes with it", async () => {
      const { ada, sessionId } = await connectedScenario({ n: 1 }, options());
      const clientId = ada.jar.get(CLIENT_KEY);
      const dead = ada.jar.clone();
      await ada.post("/logout");
      await ada.post("/session", { json: { n: 2 } });
      await ada.get("/");
      const now = ada.jar.get(KEY);
      assertNotEquals(now, sessionId);
      // a tab that still has the old session cookie
      const jar = mixed(dead, ada.jar);
      const answer = await ada.get("/session", { jar, keep: false });
      assertEquals(answer.json, { session: {}, clientId });
      assertEquals(answer.cookie(KEY), undefined);
      assertEquals(answer.cookie(CLIENT_KEY)?.value, clientId);
      const seen = await socketOf(ada, jar);
      assertEquals(seen, { sessionId: undefined, clientId });
      // nothing happened to the client's session
      const { session } = (await ada.get("/session")).json;
      assertEquals(session, { n: 2 });
      assertEquals(await socketOf(ada), { sessionId: now, clientId });
    });

    it("rule 6: a handshake with a dead session's cookie follows its client", async () => {
      const { ada } = await connectedScenario({ n: 1 }, options());
      const dead = ada.jar.clone();
      await ada.post("/logout");
      await ada.post("/session", { json: { n: 2 } });
      const jar = mixed(dead, ada.jar);
      const socket = await ada.connect("/", { jar });
      assertEquals((await ada.ask(socket, "get")).error, "Session missing");
      await ada.post("/logout");
      await ada.post("/session", { json: { n: 3 } });
      await ada.event(socket, "session:start");
      assertEquals(await ada.ask(socket, "get"), { n: 3 });
      const { sessionId } = await ada.ask(socket, "whoami");
      assertEquals(sessionId, ada.jar.get(KEY));
    });

    it("rule 4: a dead session's cookie is left alone when there is no other", async () => {
      const { ada } = await connectedScenario({ n: 1 }, options());
      const jar = ada.jar.clone();
      await ada.post("/logout");
      const answer = await ada.get("/", { jar });
      assertEquals(answer.cookie(KEY), undefined);
      assertEquals(answer.json.sessionId, undefined);
      assertEquals((await socketOf(ada, jar)).sessionId, undefined);
    });

    it("one client has one session: a second one replaces the first", async () => {
      const { ada, socket, sessionId, bridge } = await connectedScenario(
        { n: 1 },
        options(),
      );
      const ends = collect(bridge, "sessionEnd");
      const first = ada.jar.clone();
      ada.jar.delete(KEY);
      await ada.post("/session", { json: { n: 2 } });
      const now = ada.jar.get(KEY);
      assertEquals(ends.map(([end]) => (end as { reason: string }).reason), [
        "replaced",
      ]);
      assertNotEquals(now, sessionId);
      assertEquals(socket.sessionId, now);
      const answer = await ada.get("/session", { jar: first });
      assertEquals(answer.json.session, {});
      assertEquals(answer.cookie(KEY), undefined);
      assertEquals((await ada.get("/session")).json.session, { n: 2 });
    });
  });
}

describe("the client cookie alone", () => {
  afterEach(closeServers);

  it("opens no sockets to the session that its client has", async () => {
    const { ada, bridge, sessionId } = await connectedScenario({ n: 1 });
    const clientId = ada.jar.get(CLIENT_KEY)!;
    const jar = ada.jar.clone();
    jar.delete(KEY);
    for (const transports of [["websocket"], ["polling"]]) {
      const socket = await ada.connect("/", { jar, transports });
      assertEquals(await ada.ask(socket, "whoami"), { clientId });
      assertEquals((await ada.ask(socket, "get")).error, "Session missing");
      const members = await bridge.toSession(sessionId).fetchSockets();
      assertEquals(members.some(({ id }) => id === socket.id), false);
    }
    assertEquals((await socketOf(ada)).sessionId, sessionId);
  });

  it("opens sockets to the session that its client begins next", async () => {
    const { ada } = await connectedScenario({ n: 1 });
    const jar = ada.jar.clone();
    jar.delete(KEY);
    const socket = await ada.connect("/", { jar });
    await ada.post("/logout");
    await ada.post("/session", { json: { n: 2 } });
    await ada.event(socket, "session:start");
    assertEquals(await ada.ask(socket, "get"), { n: 2 });
  });

  it("opens nothing over HTTP", async () => {
    const { ada, bridge } = await connectedScenario({ n: 1 });
    const jar = ada.jar.clone();
    jar.delete(KEY);
    const answer = await ada.get("/session", { jar, keep: false });
    assertEquals(answer.json.session, {});
    assertEquals(answer.json.sessionId, undefined);
    assertEquals(answer.cookie(KEY), undefined);
    assert((bridge.store as SessionStore).size === 1);
  });
});

function jarOf(answer: Awaited<ReturnType<Browser["get"]>>): CookieJar {
  const jar = new CookieJar();
  jar.apply(answer.setCookies);
  return jar;
}
