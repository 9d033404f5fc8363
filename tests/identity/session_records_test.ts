import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertLess,
  assertNotEquals,
  assertStrictEquals,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { SessionStore } from "@koa-io/session";
import type { TestSession } from "../support/app.ts";
import type { Browser } from "../support/browser.ts";
import { type Scenario, startScenario } from "../support/scenario.ts";
import { closeServers } from "../support/server.ts";
import { onEachStore } from "../support/stores/each_store.ts";
import {
  closeStores,
  open as openMemory,
} from "../support/stores/memory_stores.ts";
import { collect, pause, until } from "../support/wait.ts";

const user = (session: TestSession) => session.user;

/** The one session of a user. */
async function sessionOf({ bridge }: Scenario, name = "ada") {
  const own = await bridge.sessionsOf(name);
  assertEquals(own.length, 1);
  return own[0]!;
}

async function login(browser: Browser, name: string): Promise<void> {
  const answer = await browser.post("/session", { json: { user: name } });
  assertStrictEquals(answer.status, 200);
}

onEachStore(({ it, open }) => {
  describe("a record", () => {
    it("knows when it was created, authenticated and used", async () => {
      const store = await open();
      await using scenario = await startScenario({ store, user });
      const before = Date.now();
      const { browser } = await scenario.visit({ n: 1 });
      const begun = Date.now();
      await pause(5);
      await login(browser, "ada");
      const first = await sessionOf(scenario);
      assertGreaterOrEqual(first.created!, before);
      assertLess(first.created!, begun + 1);
      assertGreater(first.authenticatedAt!, begun);
      assertGreaterOrEqual(first.lastUsed!, first.authenticatedAt!);

      await pause(5);
      await browser.post("/session", { json: { n: 2 } });
      const written = await sessionOf(scenario);
      assertStrictEquals(written.created, first.created);
      assertStrictEquals(written.authenticatedAt, first.authenticatedAt);
      assertGreater(written.lastUsed!, first.lastUsed!);

      await pause(5);
      await login(browser, "bob");
      const switched = await sessionOf(scenario, "bob");
      assertStrictEquals(switched.created, first.created);
      assertGreater(switched.authenticatedAt!, written.lastUsed!);
    });

    it("that begins with a user is authenticated then", async () => {
      const store = await open();
      await using scenario = await startScenario({ store, user });
      await scenario.visit({ user: "ada" });
      const one = await sessionOf(scenario);
      assertStrictEquals(one.authenticatedAt, one.created);
    });

    it("notes the use by reads at most every touchInterval, and is not prolonged", async () => {
      const store = await open();
      const touchInterval = 200;
      await using scenario = await startScenario({
        store,
        user,
        touchInterval,
        maxAge: 60_000,
      });
      const { browser } = await scenario.visit({ user: "ada" });
      const first = await sessionOf(scenario);
      const reads = async () => {
        await browser.get("/session");
        return (await sessionOf(scenario)).lastUsed!;
      };
      // a read may take longer than the interval on a busy machine: what is
      // promised is the distance of the notes
      const notes = [first.lastUsed!];
      let noted = 0;
      await until(async () => {
        const used = await reads();
        if (used === notes.at(-1)) noted++;
        else notes.push(used);
        return notes.length === 3;
      }, "the uses");
      assertGreater(noted, 0);
      assertGreaterOrEqual(notes[1]!, notes[0]! + touchInterval);
      assertGreaterOrEqual(notes[2]!, notes[1]! + touchInterval);
      const later = await sessionOf(scenario);
      assertStrictEquals(later.expires, first.expires);
      assertStrictEquals(later.authenticatedAt, first.authenticatedAt);
    });

    it("notes the use by a socket", async () => {
      const store = await open();
      await using scenario = await startScenario({
        store,
        user,
        touchInterval: 1,
      });
      const { browser, connect } = await scenario.visit({ user: "ada" });
      const { client } = await connect();
      const { lastUsed } = await sessionOf(scenario);
      await until(async () => {
        await browser.ask(client, "whoami");
        return (await sessionOf(scenario)).lastUsed! > lastUsed!;
      }, "the use");
    });

    it("keeps meta from its begin, and from each login", async () => {
      const store = await open();
      await using scenario = await startScenario({
        store,
        user,
        meta: (ctx) => ({ agent: ctx.get("user-agent"), path: ctx.path }),
      });
      const browser = scenario.browser();
      const post = (json: TestSession, agent: string, path = "/session") =>
        browser.post(path, { json, headers: { "user-agent": agent } });
      await post({ user: "ada" }, "one");
      const meta = async (name = "ada") =>
        (await sessionOf(scenario, name)).meta;
      assertEquals(await meta(), { agent: "one", path: "/session" });
      await post({ n: 2 }, "two");
      assertEquals(await meta(), { agent: "one", path: "/session" });
      await post({ user: "bob" }, "three", "/replace");
      assertEquals(await meta("bob"), { agent: "three", path: "/replace" });
      scenario.route("/regenerate", (ctx) => ctx.regenerateSession());
      await browser.get("/regenerate");
      assertEquals(await meta("bob"), { agent: "three", path: "/replace" });
    });

    it("has one handle through regenerations, and a new one with each user", async () => {
      const store = await open();
      await using scenario = await startScenario({ store, user });
      const { browser } = await scenario.visit({ user: "ada" });
      const handles = [(await sessionOf(scenario)).handle];
      for (const sockets of ["follow", "leave", "reconnect"] as const) {
        scenario.route(`/${sockets}`, async (ctx) => {
          await ctx.regenerateSession({ sockets });
        });
        const { sessionId } = await sessionOf(scenario);
        await browser.post(`/${sockets}`);
        const now = await sessionOf(scenario);
        assertNotEquals(now.sessionId, sessionId);
        assertStrictEquals(now.handle, handles[0], sockets);
        await browser.post("/session", { json: { n: 1 } });
        assertStrictEquals((await sessionOf(scenario)).handle, handles[0]);
      }
      for (const name of ["bob", "ada", "bob"]) {
        await login(browser, name);
        handles.push((await sessionOf(scenario, name)).handle);
      }
      // out and in again, by the change of user
      await browser.post("/replace", { json: { n: 1 } });
      await login(browser, "ada");
      const { handle, sessionId } = await sessionOf(scenario);
      handles.push(handle);
      // where the ids stay
      await scenario.bridge.withSession(sessionId, ({ session }) => {
        session!.user = "eve";
      });
      handles.push((await sessionOf(scenario, "eve")).handle);
      assertEquals(new Set(handles).size, handles.length);
    });
  });
});

describe("the use by reads", () => {
  afterEach(async () => {
    await closeServers();
    closeStores();
  });

  /** A store whose calls of `extend` are counted, and answered when it is said so. */
  function watched() {
    const store = openMemory();
    const calls: unknown[][] = [];
    const extend = store.extend.bind(store);
    let hangs = false;
    Object.assign(store, {
      extend(...args: Parameters<typeof extend>) {
        calls.push(args);
        return hangs ? new Promise(() => {}) : extend(...args);
      },
    });
    return { store, calls, hang: () => void (hangs = true) };
  }

  it("is not waited for", async () => {
    const { store, calls, hang } = watched();
    await using scenario = await startScenario({
      store,
      user,
      touchInterval: 1,
      storeTimeout: 100,
    });
    const errors = collect(scenario.bridge, "error");
    const { browser } = await scenario.visit({ user: "ada" });
    hang();
    await pause(5);
    const answer = await browser.get("/session");
    assertEquals(answer.json.session, { user: "ada" });
    assertGreater(calls.length, 0);
    await until(() => errors.length > 0, "the error of the store");
  });

  it("is not noted without the option user, nor with touchInterval: false", async () => {
    for (
      const options of [{ touchInterval: 1 }, {
        user,
        touchInterval: false,
      }] as const
    ) {
      const { store, calls } = watched();
      await using scenario = await startScenario({ store, ...options });
      const { browser } = await scenario.visit({ user: "ada" });
      await pause(5);
      await browser.get("/session");
      assertEquals(calls, []);
    }
  });
});

describe("SessionStore's own methods", () => {
  it("keep the record's further fields", async () => {
    const store = openMemory();
    await using scenario = await startScenario({
      store,
      user,
      meta: () => ({ a: 1 }),
    });
    const { sessionId } = await scenario.visit({ user: "ada" });
    const first = await sessionOf(scenario);
    assert(store instanceof SessionStore);
    const data = store.get(sessionId)!;
    store.set(sessionId, { ...data, n: 2 });
    const { lastUsed: _, expires: __, ...now } = await sessionOf(scenario);
    const { lastUsed: ___, expires: ____, ...then } = first;
    assertEquals(now, { ...then, session: { user: "ada", n: 2 } });
    await scenario.close();
    closeStores();
  });
});
