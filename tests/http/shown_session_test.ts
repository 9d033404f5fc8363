/** What a request shows at its end is what is stored, and no object of the application is written into. */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { native, type TestContext, type TestSession } from "../support/app.ts";
import { type Scenario, startScenario } from "../support/scenario.ts";
import { closeServers } from "../support/server.ts";
import { onEachStore } from "../support/stores/each_store.ts";
import { deferred } from "../support/wait.ts";

/** How a request stores a change of its session before its end. */
const WRITES: Record<string, (ctx: TestContext) => unknown> = {
  "ctx.withSession()": (ctx) =>
    ctx.withSession(({ session }) => {
      session!.cart = "paying";
      session!.added = 1;
    }),
  "ctx.session.save()": (ctx) => {
    Object.assign(ctx.session!, { cart: "paying", added: 1 });
    return native(ctx).save();
  },
  "ctx.session.regenerate()": (ctx) => {
    Object.assign(ctx.session!, { cart: "paying", added: 1 });
    return native(ctx).regenerate();
  },
  "ctx.regenerateSession()": (ctx) => {
    Object.assign(ctx.session!, { cart: "paying", added: 1 });
    return ctx.regenerateSession();
  },
  "two calls of ctx.withSession()": async (ctx) => {
    await ctx.withSession(({ session }) => void (session!.cart = "between"));
    await ctx.withSession(({ session }) => {
      session!.cart = "paying";
      session!.added = 1;
    });
  },
};

/** What the request does to its session then. */
const THEN: Record<string, (ctx: TestContext) => void> = {
  "nothing": () => {},
  "a change back to the value before": (ctx) => {
    ctx.session!.cart = "open";
  },
  "the deletion of what was added": (ctx) => {
    delete ctx.session!.added;
  },
  "both": (ctx) => {
    ctx.session!.cart = "open";
    delete ctx.session!.added;
  },
  "the deletion of what was there before": (ctx) => {
    delete ctx.session!.n;
  },
  "a whole object, as it was before": (ctx) => {
    ctx.session = { n: 0, cart: "open" };
  },
  "a whole object of other keys": (ctx) => {
    ctx.session = { other: true };
  },
};

onEachStore((kind) => {
  for (const autoCommit of [true, false]) {
    describe(`a request with autoCommit: ${autoCommit}`, () => {
      for (const [write, act] of Object.entries(WRITES)) {
        for (const [what, then] of Object.entries(THEN)) {
          kind.it(
            `stores what it shows after ${write} and ${what}`,
            async () => {
              const scenario = await startScenario({
                store: await kind.open(),
                autoCommit,
              });
              let shown: TestSession | undefined;
              scenario.route("/begin", async (ctx) => {
                ctx.session = { n: 0, cart: "open" };
                await native(ctx).manuallyCommit();
              });
              scenario.route("/act", async (ctx) => {
                await act(ctx);
                then(ctx);
                shown = native(ctx).toJSON();
                if (!autoCommit) await native(ctx).manuallyCommit();
              });
              scenario.route("/show", (ctx) => native(ctx).toJSON());
              const browser = scenario.browser();
              await browser.get("/begin");
              assertEquals((await browser.get("/act")).status, 200);
              assert(shown);
              assertEquals((await browser.get("/show")).json, shown);
              assertEquals(scenario.errors, []);
            },
          );
        }
      }
    });
  }
});

/** A user of the application, whose JSON leaves its secret out. */
class User {
  readonly name: string;
  readonly passwordHash: string;

  constructor(name: string, passwordHash: string) {
    this.name = name;
    this.passwordHash = passwordHash;
  }

  toJSON(): { name: string } {
    return { name: this.name };
  }
}

/** Objects of the application, with what another request or call changes in what is stored of them. */
const OBJECTS: Record<string, () => { value: unknown; key: string }> = {
  "an object that sessions share": () => ({
    value: { items: [{ id: 1 }], total: 0 },
    key: "total",
  }),
  "a frozen object": () => ({
    value: Object.freeze({ items: Object.freeze([1]), total: 0 }),
    key: "total",
  }),
  "a frozen array": () => ({ value: Object.freeze([1, 2]), key: "0" }),
  "an object with toJSON": () => ({
    value: new User("ada", "hash"),
    key: "name",
  }),
};

describe("an object of the application", () => {
  afterEach(closeServers);

  /** The object's own state, its secret included. */
  const stateOf = (value: unknown) => JSON.stringify(Object.entries(value!));

  async function scene(): Promise<Scenario> {
    const scenario = await startScenario();
    scenario.route("/show", (ctx) => native(ctx).toJSON());
    return scenario;
  }

  for (const [name, make] of Object.entries(OBJECTS)) {
    it(`is left as it is in ctx.session, with another key changed by another request: ${name}`, async () => {
      const { value } = make();
      const before = stateOf(value);
      const scenario = await scene();
      const [begun, go] = [deferred(), deferred()];
      scenario.route("/slow", async (ctx) => {
        ctx.session!.value = value;
        begun.resolve();
        await go.promise;
      });
      const { browser } = await scenario.visit();
      const slow = browser.get("/slow");
      await begun.promise;
      await browser.post("/session", { json: { other: 1 } });
      go.resolve();
      assertEquals((await slow).status, 200);
      assertEquals(stateOf(value), before);
      assertEquals((await browser.get("/show")).json, {
        n: 0,
        other: 1,
        value: JSON.parse(JSON.stringify(value)),
      });
      assertEquals(scenario.errors, []);
    });

    it(`is left as it is when ctx.withSession changes what is stored of it: ${name}`, async () => {
      const { value, key } = make();
      const before = stateOf(value);
      const scenario = await scene();
      let shown: unknown;
      scenario.route("/act", async (ctx) => {
        ctx.session!.value = value;
        await ctx.withSession(({ session }) => {
          (session!.value as Record<string, unknown>)[key] = "changed";
        });
        shown = structuredClone(native(ctx).toJSON());
      });
      const { browser } = await scenario.visit();
      assertEquals((await browser.get("/act")).status, 200);
      assertEquals(stateOf(value), before);
      const stored = (await browser.get("/show")).json;
      assertEquals(stored.value[key], "changed");
      assertEquals(shown, stored);
    });

    it(`is left as it is in a call that another one joins: ${name}`, async () => {
      const { value, key } = make();
      const before = stateOf(value);
      const scenario = await scene();
      const { sessionId, browser } = await scenario.visit();
      const { bridge } = scenario;
      await bridge.withSession(sessionId, async (outer) => {
        outer.session!.value = value;
        await bridge.withSession(sessionId, ({ session }) => {
          (session!.value as Record<string, unknown>)[key] = "changed";
        });
      });
      assertEquals(stateOf(value), before);
      assertEquals((await browser.get("/show")).json.value[key], "changed");
    });

    it(`stays in ctx.session where it is stored as it is: ${name}`, async () => {
      const { value } = make();
      const scenario = await scene();
      scenario.route("/act", async (ctx) => {
        ctx.session!.value = value;
        await ctx.withSession(({ session }) => void (session!.n = 1));
        assertStrictEquals(ctx.session!.value, value);
        await native(ctx).save();
        assertStrictEquals(ctx.session!.value, value);
      });
      const { browser } = await scenario.visit();
      assertEquals((await browser.get("/act")).status, 200);
    });

    it(`carries nothing from one user's session into another's: ${name}`, async () => {
      const { value, key } = make();
      const scenario = await scene();
      scenario.route("/act", async (ctx) => {
        ctx.session!.value = value;
        await ctx.withSession(({ session }) => {
          const stored = session!.value as Record<string, unknown>;
          stored[key] = `${stored[key]} and ${ctx.query.name}`;
        });
      });
      const [ada, eve] = [await scenario.visit(), await scenario.visit()];
      const initial = JSON.parse(JSON.stringify(value))[key];
      await ada.browser.get("/act?name=ada");
      await eve.browser.get("/act?name=eve");
      const stored = (await eve.browser.get("/show")).json.value[key];
      assertEquals(stored, `${initial} and eve`);
    });
  }
});
