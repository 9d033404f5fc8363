import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertLess,
  assertMatch,
  assertNotEquals,
  assertStrictEquals,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { SessionStore } from "@koa-io/session";
import type { TestSession } from "../support/app.ts";
import type { Browser } from "../support/browser.ts";
import { unhandledIn } from "../support/errors.ts";
import {
  type Scenario,
  startScenario,
  type Visitor,
} from "../support/scenario.ts";
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
      let used = first.lastUsed!;
      while (Date.now() < first.lastUsed! + touchInterval - 50) {
        used = await reads();
      }
      assertStrictEquals(used, first.lastUsed);
      await until(async () => await reads() > used, "the use");
      const later = await sessionOf(scenario);
      assertGreaterOrEqual(later.lastUsed!, used + touchInterval);
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

  describe("destroyUser", () => {
    it("takes handles and ids, and ignores those of another user", async () => {
      const store = await open();
      await using scenario = await startScenario({ store, user });
      const { bridge } = scenario;
      const ada: Visitor[] = [];
      for (let i = 0; i < 4; i++) {
        ada.push(await scenario.visit({ user: "ada" }));
      }
      const bob = await scenario.visit({ user: "bob" });
      const bobs = (await sessionOf(scenario, "bob")).handle;
      const own = await bridge.sessionsOf("ada");
      const named = (i: number) =>
        own.find(({ sessionId }) => sessionId === ada[i]!.sessionId)!;
      const foreign = [bobs, bob.sessionId, "", "x"];
      assertEquals(await bridge.destroyUser("ada", { only: foreign }), 0);
      assertEquals(
        await bridge.destroyUser("ada", {
          only: [named(0).handle, ...foreign],
        }),
        1,
      );
      assertEquals(
        await bridge.destroyUser("ada", {
          except: [named(1).handle, named(2).sessionId, ...foreign],
        }),
        1,
      );
      const rest = await bridge.sessionsOf("ada", {
        current: ada[1]!.sessionId,
      });
      assertEquals(
        rest.map(({ handle, current }) => [handle, current]).sort(),
        [[named(1).handle, true], [named(2).handle, false]].sort(),
      );
      // a handle is a name for one call only: it opens nothing
      assertStrictEquals(await bridge.peek(named(1).handle), undefined);
      assertEquals(await scenario.peek(bob.sessionId), { user: "bob" });
    });

    it("finds a session that was stored before the option, after its next load", async () => {
      const store = await open();
      const options: [string, (session: TestSession) => unknown][] = [
        ["ada", ({ user }) => user],
        ["a1", ({ account }) => account],
      ];
      const before = await startScenario({ store });
      const { browser } = await before.visit({ user: "ada", account: "a1" });
      const { sessionId } = (await browser.get("/session")).json;
      const { jar } = browser;
      await before.close();
      for (const [name, user] of options) {
        await using scenario = await startScenario({
          store,
          user: user as never,
        });
        const { bridge } = scenario;
        const changes = collect(bridge, "userChange");
        const ends = collect(bridge, "sessionEnd");
        assertEquals(await bridge.destroyUser(name), 0);
        const again = scenario.browser(jar);
        const socket = await again.connect();
        await again.get("/session");
        const found = await sessionOf(scenario, name);
        assertStrictEquals(found.sessionId, sessionId);
        assertEquals(await again.ask(socket, "whoami"), {
          sessionId,
          clientId: found.clientId,
        });
        assertEquals(changes, []);
        assertEquals(ends, []);
        assertEquals(
          again.received(socket).filter(([event]) => event !== "session:start"),
          [],
        );
        if (name !== "a1") continue;
        assertEquals(await bridge.destroyUser(name), 1);
        assertEquals(await again.event(socket, "session:end"), [{
          reason: "revoked",
        }]);
      }
    });
  });

  describe("a result of user that is no user", () => {
    const bad: Record<string, () => unknown> = {
      "an object": () => ({}),
      "an array": () => ["ada"],
      "no text": () => "",
      "NaN": () => NaN,
      "Infinity": () => Infinity,
      "a boolean": () => true,
      "a promise": () => Promise.resolve("ada"),
      "a rejected promise": () => Promise.reject(new Error("late")),
    };

    it("is refused by name, and nothing is stored", async () => {
      const store = await open();
      await using scenario = await startScenario({
        store,
        user: ((session: TestSession) =>
          session.bad === undefined
            ? session.user
            : bad[session.bad as string]!()) as never,
      });
      const unhandled = await unhandledIn(async () => {
        for (const what of Object.keys(bad)) {
          scenario.errors.length = 0;
          const guest = scenario.browser();
          const json = { bad: what };
          assertStrictEquals(
            (await guest.post("/session", { json })).status,
            500,
          );
          const { sessionId } = (await guest.get("/session")).json;
          assertStrictEquals(sessionId, undefined, what);
          const member = await scenario.visit({ n: 1 });
          const { server } = await member.connect();
          await member.browser.post("/session", { json });
          const calls = [
            server.withSession(({ session }) => {
              session!.bad = what;
            }),
            scenario.bridge.withSession(member.sessionId, ({ session }) => {
              session!.bad = what;
            }),
          ];
          const errors: unknown[] = [...scenario.errors];
          for (const call of calls) {
            errors.push(await call.then(() => undefined, (error) => error));
          }
          assertEquals(errors.length, 4);
          for (const error of errors) {
            assert(error instanceof TypeError, `${what}: ${error}`);
            assertMatch(error.message, /\boption user\b.*received/);
          }
          assertEquals(await scenario.peek(member.sessionId), { n: 1 });
          const now = (await member.browser.get("/session")).json;
          assertStrictEquals(now.sessionId, member.sessionId);
        }
      });
      assertEquals(unhandled, []);
    });

    it("that throws is the error of the commit", async () => {
      const store = await open();
      const thrown = new RangeError("no user");
      await using scenario = await startScenario({
        store,
        user: (session) => {
          if (session.bad) throw thrown;
          return session.user;
        },
      });
      const { browser, sessionId, connect } = await scenario.visit({ n: 1 });
      const { client } = await connect();
      const answer = await browser.post("/session", { json: { bad: true } });
      assertStrictEquals(answer.status, 500);
      assertStrictEquals(scenario.errors[0], thrown);
      assertEquals(await browser.ask(client, "merge", { bad: true }), {
        error: "no user",
      });
      assertEquals(await scenario.peek(sessionId), { n: 1 });
    });

    it("for what is stored keeps nobody from reading it, and from logging out", async () => {
      const store = await open();
      const before = await startScenario({ store });
      const { browser } = await before.visit({ user: "ada" });
      const { jar } = browser;
      await before.close();
      await using scenario = await startScenario({
        store,
        user: (() => {
          throw new Error("no user");
        }) as never,
      });
      const again = scenario.browser(jar);
      assertEquals((await again.get("/session")).json.session, { user: "ada" });
      assertStrictEquals((await again.post("/logout")).status, 200);
      assertStrictEquals(
        (await again.get("/session")).json.sessionId,
        undefined,
      );
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

describe("the option meta", () => {
  afterEach(closeServers);

  const circle: Record<string, unknown> = {};
  circle.circle = circle;
  const bad: Record<string, () => unknown> = {
    "throws": () => {
      throw new Error("no meta");
    },
    "a promise": () => Promise.resolve({ a: 1 }),
    "a rejected promise": () => Promise.reject(new Error("late")),
    "nothing": () => undefined,
    "null": () => null,
    "a text": () => "address",
    "a number": () => 1,
    "an array": () => [1],
    "a function": () => () => {},
    "a date": () => new Date(),
    "a BigInt": () => ({ a: 1n }),
    "a circle": () => circle,
    "a getter that throws": () => ({
      get a() {
        throw new Error("no a");
      },
    }),
    "toJSON that returns a text": () => ({ toJSON: () => "text" }),
    "toJSON that returns nothing": () => ({ toJSON: () => undefined }),
    "toJSON that throws": () => ({
      toJSON() {
        throw new Error("no JSON");
      },
    }),
    "1001 bytes": () => ({ a: "x".repeat(1_001 - 8) }),
    "1001 bytes of few characters": () => ({ a: "é".repeat(496) + "x" }),
  };
  const good: Record<string, () => Record<string, unknown>> = {
    "nothing in it": () => ({}),
    "1000 bytes": () => ({ a: "x".repeat(1_000 - 8) }),
    "1000 bytes of few characters": () => ({ a: "é".repeat(496) }),
    "__proto__": () => JSON.parse('{"__proto__":{"admin":true}}'),
  };

  it("that returns what cannot be kept is left out with an error, and the login stands", async () => {
    let result: () => unknown = () => ({});
    await using scenario = await startScenario({
      user,
      meta: () => result() as Record<string, unknown>,
    });
    const errors = collect<[Error]>(scenario.bridge, "error");
    const unhandled = await unhandledIn(async () => {
      for (const [what, returned] of Object.entries(bad)) {
        result = returned;
        errors.length = 0;
        await scenario.visit({ user: what });
        const { meta, session } = await sessionOf(scenario, what);
        assertStrictEquals(meta, undefined, what);
        assertEquals(session, { user: what });
        assertEquals(errors.length, 1, what);
        assert(errors[0]![0] instanceof Error, what);
      }
    });
    assertEquals(unhandled, []);
    assertEquals(scenario.errors, []);
  });

  it("needs no listener for the error", async () => {
    await using scenario = await startScenario({
      user,
      meta: bad.throws as never,
    });
    assertEquals(
      await unhandledIn(() => scenario.visit({ user: "ada" })),
      [],
    );
    await sessionOf(scenario);
  });

  it("that returns a small object is kept as JSON", async () => {
    let result = good["nothing in it"]!;
    await using scenario = await startScenario({ user, meta: () => result() });
    const errors = collect(scenario.bridge, "error");
    for (const [what, returned] of Object.entries(good)) {
      result = returned;
      await scenario.visit({ user: what });
      const { meta } = await sessionOf(scenario, what);
      assertEquals(JSON.stringify(meta), JSON.stringify(returned()), what);
    }
    assertEquals(errors, []);
    assertStrictEquals(({} as { admin?: boolean }).admin, undefined);
  });

  it("is asked once in a request", async () => {
    let times = 0;
    await using scenario = await startScenario({
      user,
      meta: () => ({ times: ++times }),
    });
    scenario.route("/login", async (ctx) => {
      ctx.session!.n = 1;
      await (ctx.session as unknown as { save(): Promise<void> }).save();
      await ctx.regenerateSession();
      ctx.session!.user = "ada";
    });
    await scenario.browser().post("/login");
    assertEquals((await sessionOf(scenario)).meta, { times: 1 });
    assertStrictEquals(times, 1);
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
