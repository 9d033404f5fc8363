import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStrictEquals,
} from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { TestSession } from "../support/app.ts";
import { type Browser, mentionsSession } from "../support/browser.ts";
import { KEY } from "../support/cookies.ts";
import { codeOf } from "../support/errors.ts";
import {
  connectPair,
  type Scenario,
  startScenario,
} from "../support/scenario.ts";
import type { TestOptions } from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";
import { onEachStore } from "../support/stores/each_store.ts";
import { collect, until } from "../support/wait.ts";

const user = (session: TestSession) => session.user;

/** Logs in, and resolves to the status of the answer. */
async function login(browser: Browser, name = "ada"): Promise<number> {
  return (await browser.post("/session", { json: { user: name } })).status;
}

/** The id of a browser's session, as HTTP sees it. */
async function idOf(browser: Browser): Promise<string | undefined> {
  return (await browser.get("/session")).json.sessionId;
}

/** The ids of a user's live sessions. */
async function idsOf({ bridge }: Scenario, name = "ada"): Promise<string[]> {
  return (await bridge.sessionsOf(name)).map(({ sessionId }) => sessionId);
}

onEachStore(({ it, open }) => {
  const start = async (
    maxSessions: TestOptions["maxSessions"],
    options: TestOptions = {},
  ): Promise<Scenario> => {
    const store = await open();
    return await startScenario({ store, user, maxSessions, ...options });
  };
  const refusing = (max: number) => start({ max, exceed: "refuse" });

  describe("maxSessions: oldest", () => {
    it("ends the session used longest ago, and sends its sockets the reason", async () => {
      await using scenario = await start(2, { touchInterval: 1 });
      const { bridge } = scenario;
      const ends = collect<[{ sessionId: string; reason: string }]>(
        bridge,
        "sessionEnd",
      );
      const first = await scenario.visit({ user: "ada" });
      const second = await scenario.visit({ user: "ada" });
      const { client } = await second.connect();
      const { client: kept } = await first.connect();
      const usedBySecond = Date.now();
      // a read counts as a use
      await until(async () => {
        await first.browser.get("/session");
        const own = await bridge.sessionsOf("ada");
        const one = own.find(({ sessionId }) => sessionId === first.sessionId);
        return one!.lastUsed! > usedBySecond;
      }, "the use of the first session");
      const third = scenario.browser();
      assertStrictEquals(await login(third), 200);

      assertEquals(await second.browser.event(client, "session:end"), [{
        reason: "displaced",
      }]);
      assertEquals(
        (await idsOf(scenario)).sort(),
        [first.sessionId, (await idOf(third))!].sort(),
      );
      assertEquals(
        ends.map(([{ sessionId, reason }]) => [sessionId, reason]),
        [[second.sessionId, "displaced"]],
      );
      assertStrictEquals(await idOf(second.browser), undefined);
      assertEquals(await first.browser.ask(kept, "get"), { user: "ada" });
    });

    it("counts each user, and no guest", async () => {
      await using scenario = await start(1);
      const guests = [await scenario.visit(), await scenario.visit()];
      const ada = await scenario.visit({ user: "ada" });
      const bob = await scenario.visit({ user: "bob" });
      for (const { sessionId } of [...guests, ada, bob]) {
        assert(await scenario.peek(sessionId));
      }
    });

    it("leaves exactly max of logins at once", async () => {
      await using scenario = await start(2);
      const browsers = Array.from({ length: 6 }, () => scenario.browser());
      const statuses = await Promise.all(
        browsers.map((browser) => login(browser)),
      );
      assertEquals(new Set(statuses), new Set([200]));
      assertEquals((await idsOf(scenario)).length, 2);
      const ids = await Promise.all(browsers.map(idOf));
      assertEquals(
        ids.filter((id) => id !== undefined).sort(),
        (await idsOf(scenario)).sort(),
      );
    });

    it("ends none for a login that fails", async () => {
      await using scenario = await start(1, {
        maxSessions: 1,
        user: (session) => {
          if (session.broken) throw new Error("no user");
          return session.user;
        },
      });
      const first = await scenario.visit({ user: "ada" });
      const { status } = await scenario.browser().post("/session", {
        json: { user: "ada", broken: true },
      });
      assertStrictEquals(status, 500);
      assertEquals(await idsOf(scenario), [first.sessionId]);
    });

    it("counts a login in a transaction", async () => {
      await using scenario = await start(1);
      const { bridge } = scenario;
      const ids = [];
      for (const by of ["socket", "request", "id"]) {
        const before = await idsOf(scenario);
        const visitor = await scenario.visit({ n: 1 });
        const set = (view: { session: TestSession | null }) => {
          view.session!.user = "ada";
        };
        if (by === "socket") {
          const { server } = await visitor.connect();
          await server.withSession(set);
        } else if (by === "id") {
          await bridge.withSession(visitor.sessionId, set);
        } else {
          scenario.route("/login", (ctx) => ctx.withSession(set));
          await visitor.browser.post("/login");
        }
        const now = await idsOf(scenario);
        assertEquals(now.length, 1, by);
        assertNotEquals(now, before);
        ids.push(await idOf(visitor.browser));
        assertEquals(now, ids.slice(-1));
      }
    });
  });

  describe("maxSessions: refuse", () => {
    it("refuses a login with 409, and leaves a guest without a session", async () => {
      await using scenario = await refusing(1);
      const first = await scenario.visit({ user: "ada" });
      const guest = scenario.browser();
      await guest.get("/");
      const header = guest.jar.header();
      const answer = await guest.post("/session", { json: { user: "ada" } });
      assertStrictEquals(answer.status, 409);
      assert(!mentionsSession(answer));
      assertStrictEquals(guest.jar.header(), header);
      assertEquals(await idsOf(scenario), [first.sessionId]);
      const [error] = scenario.errors as (Error & { code?: string })[];
      assertStrictEquals(error?.name, "SessionLimitError");
      assertStrictEquals(error?.code, "SESSION_LIMIT");
      assertMatch(error!.message, /\boption maxSessions\b/);
      assertStrictEquals(await idOf(guest), undefined);
      // there is room once one has ended
      await first.browser.post("/logout");
      assertStrictEquals(await login(guest), 200);
    });

    it("leaves the session, its sockets and the cookies as they were", async () => {
      await using scenario = await refusing(1);
      await scenario.visit({ user: "ada" });
      const guest = await scenario.visit({ n: 1 });
      const { client } = await guest.connect();
      const header = guest.browser.jar.header();
      assertStrictEquals(await login(guest.browser), 409);
      assertStrictEquals(guest.browser.jar.header(), header);
      assertStrictEquals(await idOf(guest.browser), guest.sessionId);
      assertEquals(await scenario.peek(guest.sessionId), { n: 1 });
      assertEquals(await guest.browser.ask(client, "get"), { n: 1 });
      assertEquals(guest.browser.received(client), []);
    });

    it("keeps the session of a request that regenerates it before its login", async () => {
      await using scenario = await refusing(1);
      await scenario.visit({ user: "ada" });
      const guest = await scenario.visit({ n: 1 });
      scenario.route("/login", async (ctx) => {
        await ctx.regenerateSession();
        ctx.session!.user = "ada";
      });
      const { status } = await guest.browser.post("/login");
      assertStrictEquals(status, 409);
      const { session } = (await guest.browser.get("/session")).json;
      assertEquals(session, { n: 1 });
    });

    it("admits exactly max of logins at once", async () => {
      await using scenario = await refusing(2);
      const browsers = Array.from({ length: 6 }, () => scenario.browser());
      const statuses = await Promise.all(
        browsers.map((browser) => login(browser)),
      );
      assertEquals(statuses.sort(), [200, 200, 409, 409, 409, 409]);
      assertEquals((await idsOf(scenario)).length, 2);
    });

    it("does not count a session that the login takes the place of", async () => {
      await using scenario = await refusing(1);
      const { browser } = await scenario.visit({ user: "ada" });
      const relogins: Record<string, () => Promise<unknown>> = {
        "the same data again": () => login(browser),
        "a new session in its place": () =>
          browser.post("/replace", { json: { user: "ada", n: 2 } }),
        "a browser that has lost the session cookie": () => {
          browser.jar.delete(KEY);
          return login(browser);
        },
        "a login sent twice, with the former cookies": async () => {
          const former = browser.jar.clone();
          await browser.post("/again");
          const answer = await browser.post("/session", {
            json: { user: "ada" },
            jar: former,
          });
          browser.jar.apply(answer.setCookies);
          return answer.status;
        },
      };
      scenario.route("/again", async (ctx) => {
        await ctx.regenerateSession();
        ctx.session!.user = "ada";
      });
      for (const [what, relogin] of Object.entries(relogins)) {
        await relogin();
        assertEquals(await idsOf(scenario), [await idOf(browser)], what);
      }
      assertEquals(scenario.errors, []);
    });

    it("refuses a switch to a user with enough sessions", async () => {
      await using scenario = await refusing(1);
      const ada = await scenario.visit({ user: "ada" });
      const bob = await scenario.visit({ user: "bob", n: 1 });
      assertStrictEquals(await login(bob.browser), 409);
      assertEquals(await idsOf(scenario), [ada.sessionId]);
      assertEquals(await scenario.peek(bob.sessionId), { user: "bob", n: 1 });
      assertEquals(await idsOf(scenario, "bob"), [bob.sessionId]);
      assertStrictEquals(await login(bob.browser, "eve"), 200);
      assertEquals((await idsOf(scenario, "eve")).length, 1);
      assertEquals(await idsOf(scenario, "bob"), []);
    });

    it("refuses a login in a transaction, and nothing of it is stored", async () => {
      await using scenario = await refusing(1);
      const { bridge } = scenario;
      const ada = await scenario.visit({ user: "ada" });
      const guest = await scenario.visit({ n: 1 });
      const { client, server } = await connectPair(scenario, guest.browser);
      const set = (view: { session: TestSession | null }) => {
        Object.assign(view.session!, { user: "ada", n: 2 });
      };
      const calls: Record<string, () => Promise<string | undefined>> = {
        "socket.withSession": () => codeOf(server.withSession(set)),
        "bridge.withSession": () =>
          codeOf(bridge.withSession(guest.sessionId, set)),
        "an event": async () =>
          (await guest.browser.ask(client, "merge", { user: "ada" })).code,
        "ctx.withSession": async () =>
          (await guest.browser.post("/login")).json.code,
        "save()": async () => (await guest.browser.post("/save")).json.code,
      };
      scenario.route("/login", async (ctx) => {
        const code = await codeOf(ctx.withSession(set));
        // the request goes on with the session as it was
        return { code, session: ctx.session, sessionId: ctx.sessionId };
      });
      scenario.route("/save", async (ctx) => {
        ctx.session!.user = "ada";
        const code = await codeOf(
          (ctx.session as unknown as { save(): Promise<void> }).save(),
        );
        delete ctx.session!.user;
        return { code };
      });
      for (const [what, call] of Object.entries(calls)) {
        assertStrictEquals(await call(), "SESSION_LIMIT", what);
        assertEquals(await scenario.peek(guest.sessionId), { n: 1 }, what);
        assertStrictEquals(
          await idOf(guest.browser),
          guest.sessionId,
          what,
        );
      }
      assertEquals(await idsOf(scenario), [ada.sessionId]);
      assertEquals(scenario.errors, []);
    });
  });
});

describe("maxSessions: a login whose session is revoked at that moment", () => {
  it("ends no other session of the user", async () => {
    const hooks: { revoke?: () => unknown } = {};
    await using scenario = await startScenario({
      user,
      maxSessions: 1,
      // called while the login has the session's lock, before its write
      meta: () => {
        hooks.revoke?.();
        return {};
      },
    });
    const ada = await scenario.visit({ user: "ada" });
    const guest = await scenario.visit({ n: 1 });
    hooks.revoke = () => scenario.bridge.destroy(guest.sessionId);
    await login(guest.browser);
    assertEquals(await scenario.peek(guest.sessionId), undefined);
    assertEquals(await idsOf(scenario), [ada.sessionId]);
  });
});

describe("maxSessions: a session that cannot be ended as the store fails", () => {
  it("leaves the login standing, and is ended later", async () => {
    const store = fakeStore();
    await using scenario = await startScenario({ user, maxSessions: 1, store });
    const old = await scenario.visit({ user: "ada" });
    const destroy = store.destroy.bind(store);
    let failures = 2;
    store.destroy = (sid, ...rest) => {
      if (sid !== old.sessionId || failures-- <= 0) {
        return destroy(sid, ...rest);
      }
      throw new Error("down");
    };
    const browser = scenario.browser();
    assertStrictEquals(await login(browser), 200);
    const sid = await idOf(browser);
    assert(sid !== undefined);
    await until(async () => (await idsOf(scenario)).join() === sid);
    assertEquals(await scenario.peek(old.sessionId), undefined);
  });
});
