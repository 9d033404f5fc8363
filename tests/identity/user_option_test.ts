import {
  assert,
  assertEquals,
  assertMatch,
  assertStrictEquals,
} from "@std/assert";
import { describe } from "@std/testing/bdd";
import type { TestSession } from "../support/app.ts";
import { unhandledIn } from "../support/errors.ts";
import {
  type Scenario,
  startScenario,
  type Visitor,
} from "../support/scenario.ts";
import { onEachStore } from "../support/stores/each_store.ts";
import { collect } from "../support/wait.ts";

const user = (session: TestSession) => session.user;

/** The one session of a user. */
async function sessionOf({ bridge }: Scenario, name = "ada") {
  const own = await bridge.sessionsOf(name);
  assertEquals(own.length, 1);
  return own[0]!;
}

onEachStore(({ it, open }) => {
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

    it("for what is stored hinders neither a read nor a logout", async () => {
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
