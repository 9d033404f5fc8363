/** A request that calls koa-session more than once, and waits or does not wait. */
import { assertEquals, assertNotEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { startScenario } from "../support/scenario.ts";
import { fakeStore } from "../support/stores/fake_store.ts";

const STORES = {
  "the default store": () => ({}),
  "an async store": () => ({ store: fakeStore({ sync: false, on: false }) }),
};

for (const [name, options] of Object.entries(STORES)) {
  describe(`a request on ${name}`, () => {
    it("may save a new session and not wait for it", async () => {
      await using scenario = await startScenario(options());
      scenario.route("/login", (ctx) => {
        ctx.session!.user = "ada";
        void ctx.session!.save();
        return "in";
      });
      scenario.route("/who", (ctx) => ctx.session!.user ?? "nobody");
      const browser = scenario.browser();
      assertEquals((await browser.post("/login")).status, 200);
      assertEquals((await browser.post("/who")).body, "ada");
    });

    it("may save twice at once, and begins one session", async () => {
      await using scenario = await startScenario(options());
      scenario.route("/login", async (ctx) => {
        ctx.session!.user = "ada";
        await Promise.all([ctx.session!.save(), ctx.session!.save()]);
        return "in";
      });
      assertEquals((await scenario.browser().post("/login")).status, 200);
      assertEquals(scenario.bridge.stats().sessions, 1);
    });

    it("may open a new session twice at once", async () => {
      await using scenario = await startScenario(options());
      scenario.route("/login", async (ctx) => {
        ctx.session!.n = 0;
        const add = () => ctx.withSession(({ session }) => ++session!.n!);
        await Promise.all([add(), add()]);
        return String(ctx.session!.n);
      });
      assertEquals((await scenario.browser().post("/login")).body, "2");
    });

    it("may regenerate and not wait for it", async () => {
      await using scenario = await startScenario(options());
      const { browser, sessionId } = await scenario.visit({ n: 1 });
      scenario.route("/again", (ctx) => {
        void ctx.session!.regenerate();
        return "begun";
      });
      scenario.route("/id", (ctx) => `${ctx.sessionId} ${ctx.session!.n}`);
      assertEquals((await browser.post("/again")).status, 200);
      const [now, n] = (await browser.post("/id")).body.split(" ");
      assertNotEquals(now, sessionId);
      assertEquals(n, "1");
    });

    it("may end its session in a handler and begin another", async () => {
      await using scenario = await startScenario(options());
      const { browser, sessionId } = await scenario.visit({ n: 1 });
      scenario.route("/anew", async (ctx) => {
        await ctx.withSession((view) => {
          view.session = null;
        });
        ctx.session = { user: "eve" } as never;
        return "anew";
      });
      scenario.route(
        "/who",
        (ctx) => JSON.stringify([ctx.sessionId !== undefined, ctx.session]),
      );
      assertEquals((await browser.post("/anew")).status, 200);
      assertEquals((await browser.post("/who")).body, '[true,{"user":"eve"}]');
      assertEquals(await scenario.peek(sessionId), undefined);
    });
  });
}
