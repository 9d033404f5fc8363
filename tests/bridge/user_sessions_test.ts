import {
  assertEquals,
  assertFalse,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { TestSession } from "../support/app.ts";
import { once } from "../support/wait.ts";
import {
  type Scenario,
  startScenario,
  type Visitor,
} from "../support/scenario.ts";

const user = (session: TestSession) => session.user;

/** Three sessions of ada, and one of bob. */
async function startUsers() {
  const scenario = await startScenario({ user });
  const visit = (user: string) => scenario.visit({ user });
  const ada = [await visit("ada"), await visit("ada"), await visit("ada")];
  return { scenario, ada, bob: await visit("bob") };
}

/** The handle of a visitor's session. */
async function handleOf(
  { bridge }: Scenario,
  { sessionId }: Visitor,
  name = "ada",
): Promise<string> {
  const own = await bridge.sessionsOf(name);
  return own.find((one) => one.sessionId === sessionId)!.handle;
}

describe("bridge.sessionsOf()", () => {
  it("describes each session by a handle, and marks the current one", async () => {
    const { scenario, ada } = await startUsers();
    await using _ = scenario;
    const own = await scenario.bridge.sessionsOf("ada", {
      current: ada[1]!.sessionId,
    });
    assertEquals(own.length, 3);
    assertEquals(new Set(own.map(({ handle }) => handle)).size, 3);
    for (const one of own) {
      const { sessionId, clientId, handle, session, expires, current } = one;
      assertMatch(handle, /^[\w-]{10,}$/);
      assertNotEquals(handle, sessionId);
      assertEquals(session, { user: "ada" });
      assertEquals(typeof expires, "number");
      assertStrictEquals(current, sessionId === ada[1]!.sessionId);
      const visitor = ada.find((one) => one.sessionId === sessionId);
      assertStrictEquals(clientId, visitor!.clientId);
    }
  });

  it("marks none without a current session", async () => {
    const { scenario } = await startUsers();
    await using _ = scenario;
    for (const options of [undefined, {}, { current: undefined }]) {
      const own = await scenario.bridge.sessionsOf("ada", options);
      assertEquals(own.map(({ current }) => current), [false, false, false]);
    }
  });

  it("shows no id when it is printed, copied or sent", async () => {
    const { scenario, ada } = await startUsers();
    await using _ = scenario;
    const own = await scenario.bridge.sessionsOf("ada");
    assertEquals(Object.keys(own[0]!), [
      "handle",
      "current",
      "created",
      "authenticatedAt",
      "lastUsed",
      "expires",
      "meta",
      "session",
    ]);
    const text = JSON.stringify(own.map((one) => ({ ...one })));
    for (const { sessionId, clientId } of ada) {
      assertFalse(text.includes(sessionId));
      assertFalse(text.includes(clientId));
    }
  });

  it("gives a session the same handle each time", async () => {
    const { scenario, ada } = await startUsers();
    await using _ = scenario;
    const [visitor] = ada as [Visitor];
    const first = await handleOf(scenario, visitor);
    await visitor.browser.get("/session");
    assertStrictEquals(await handleOf(scenario, visitor), first);
  });
});

describe("bridge.destroyUser()", () => {
  for (const by of ["handle", "id"] as const) {
    const nameOf = async (scenario: Scenario, visitor: Visitor) =>
      by === "id" ? visitor.sessionId : await handleOf(scenario, visitor);

    it(`ends only the one of a ${by}, or several`, async () => {
      const { scenario, ada } = await startUsers();
      await using _ = scenario;
      const { bridge } = scenario;
      const [first, second, third] = ada as [Visitor, Visitor, Visitor];
      const only = await nameOf(scenario, first);
      assertEquals(await bridge.destroyUser("ada", { only }), 1);
      assertStrictEquals(await scenario.peek(first.sessionId), undefined);
      assertEquals(await bridge.destroyUser("ada", { only }), 0);
      const both = [
        await nameOf(scenario, second),
        await nameOf(scenario, third),
      ];
      assertEquals(await bridge.destroyUser("ada", { only: both }), 2);
    });

    it(`ends all except those of a ${by}`, async () => {
      const { scenario, ada } = await startUsers();
      await using _ = scenario;
      const { bridge } = scenario;
      const [first, second, third] = ada as [Visitor, Visitor, Visitor];
      const except = [
        await nameOf(scenario, first),
        await nameOf(scenario, second),
      ];
      assertEquals(await bridge.destroyUser("ada", { except }), 1);
      assertStrictEquals(await scenario.peek(third.sessionId), undefined);
      assertEquals(
        await bridge.destroyUser("ada", { only: except, except: except[0]! }),
        1,
      );
      assertEquals((await bridge.sessionsOf("ada")).length, 1);
    });

    it(`ends nothing of another user by ${by}`, async () => {
      const { scenario, bob } = await startUsers();
      await using _ = scenario;
      const { bridge } = scenario;
      const only = by === "id"
        ? bob.sessionId
        : await handleOf(scenario, bob, "bob");
      assertEquals(await bridge.destroyUser("ada", { only }), 0);
      assertEquals(await bridge.destroyUser("ada", { except: only }), 3);
      assertEquals(await scenario.peek(bob.sessionId), { user: "bob" });
    });
  }

  it("ends nothing where only matches nothing", async () => {
    const { scenario } = await startUsers();
    await using _ = scenario;
    const { bridge } = scenario;
    for (const only of ["", "x", "__proto__", [], ["x", "constructor"]]) {
      assertEquals(await bridge.destroyUser("ada", { only }), 0);
    }
    assertEquals((await bridge.sessionsOf("ada")).length, 3);
  });

  it("refuses an only or except that is given and names nothing", async () => {
    const { scenario } = await startUsers();
    await using _ = scenario;
    const { bridge } = scenario;
    for (const name of ["only", "except"]) {
      for (const value of [undefined, null, 5, {}, [undefined], ["x", null]]) {
        const error = await assertRejects(
          () => bridge.destroyUser("ada", { [name]: value } as never),
          TypeError,
          `as ${name} must be`,
        );
        assertMatch(error.message, /received/);
      }
    }
    await assertRejects(
      () => bridge.destroyUser("ada", "id" as never),
      TypeError,
      "options",
    );
    assertEquals((await bridge.sessionsOf("ada")).length, 3);
  });
});

describe("the methods of users", () => {
  it("take a number as its decimal text", async () => {
    await using scenario = await startScenario({
      user: (session) => session.user,
    });
    const { bridge } = scenario;
    const { browser, connect } = await scenario.visit({ user: "42" });
    const { client } = await connect();
    assertEquals((await bridge.sessionsOf(42)).length, 1);
    const sent = once(client, "to 42");
    bridge.toUser(42).emit("to 42");
    await sent;
    assertEquals(await bridge.destroyUser(42), 1);
    assertStrictEquals(
      (await browser.get("/session")).json.session?.user,
      undefined,
    );
  });

  const methods = ["sessionsOf", "destroyUser", "toUser"] as const;
  for (const method of methods) {
    const call = (scenario: Scenario, user: unknown) =>
      method === "toUser"
        ? assertThrows(() => scenario.bridge.toUser(user as string), TypeError)
        : assertRejects(
          async () => void await scenario.bridge[method](user as string),
          TypeError,
        );

    it(`refuse ${method} without the option user, by name`, async () => {
      await using scenario = await startScenario();
      const error = await call(scenario, "ada");
      assertMatch(error.message, /\boption user\b/);
    });

    it(`refuse a user that is no id in ${method}`, async () => {
      await using scenario = await startScenario({ user });
      for (const wrong of [undefined, null, NaN, Infinity, {}, [], 1n]) {
        const error = await call(scenario, wrong);
        assertMatch(error.message, /\buser must be\b.*received/);
      }
    });
  }
});
