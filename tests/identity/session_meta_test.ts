import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { TestSession } from "../support/app.ts";
import { unhandledIn } from "../support/errors.ts";
import { type Scenario, startScenario } from "../support/scenario.ts";
import { closeServers } from "../support/server.ts";
import { collect } from "../support/wait.ts";

const user = (session: TestSession) => session.user;

/** The one session of a user. */
async function sessionOf({ bridge }: Scenario, name = "ada") {
  const own = await bridge.sessionsOf(name);
  assertEquals(own.length, 1);
  return own[0]!;
}

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
