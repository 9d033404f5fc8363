/** Requests that end, begin and regenerate their session in one go, and requests that outlive it. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { describe } from "@std/testing/bdd";
import type { SessionConflict } from "@koa-io/session";
import { native, type TestContext } from "../support/app.ts";
import { KEY } from "../support/cookies.ts";
import { startScenario } from "../support/scenario.ts";
import type { TestOptions } from "../support/server.ts";
import { onEachStore } from "../support/stores/each_store.ts";
import { deferred, pause, until } from "../support/wait.ts";

/** Regenerations that are not awaited, before the logout. */
const ABANDONED: Record<string, (ctx: TestContext) => unknown> = {
  "ctx.session.regenerate()": (ctx) => native(ctx).regenerate(),
  "ctx.regenerateSession()": (ctx) => ctx.regenerateSession(),
  'ctx.regenerateSession({ sockets: "leave" })': (ctx) =>
    ctx.regenerateSession({ sockets: "leave" }),
};

/** Requests that end their session and begin another one. */
const ANEW: Record<string, (ctx: TestContext) => unknown> = {
  "ends, begins and regenerates": async (ctx) => {
    ctx.session = null;
    ctx.session = { n: 1 };
    await native(ctx).regenerate();
  },
  "ends, begins and regenerates with await between": async (ctx) => {
    ctx.session = null;
    await pause(1);
    ctx.session = { n: 1 };
    await pause(1);
    await ctx.regenerateSession();
  },
  "ends, begins, saves and regenerates": async (ctx) => {
    ctx.session = null;
    ctx.session = { n: 1 };
    await native(ctx).save();
    await ctx.regenerateSession();
  },
  "regenerates, ends, begins and regenerates": async (ctx) => {
    await ctx.regenerateSession();
    ctx.session = null;
    ctx.session = { n: 1 };
    await ctx.regenerateSession();
  },
  "ends in a transaction, begins and regenerates": async (ctx) => {
    await ctx.withSession((view) => void (view.session = null));
    ctx.session = { n: 1 };
    await native(ctx).regenerate();
  },
};

onEachStore((kind) => {
  for (const user of [undefined, ({ user }: { user?: string }) => user]) {
    const start = async (options: TestOptions = {}) => {
      const store = await kind.open();
      return await startScenario({ store, ...user && { user }, ...options });
    };

    describe(`a request ${user ? "with" : "without"} the option user`, () => {
      for (const [name, regenerate] of Object.entries(ABANDONED)) {
        kind.it(`logs out after ${name} that was not awaited`, async () => {
          const scenario = await start();
          const { browser, peek, route, bridge } = scenario;
          const ids = new Set<string>();
          bridge.on("sessionStart", ({ sessionId }) => ids.add(sessionId));
          await browser().get("/");
          const visitor = await scenario.visit({ user: "ada" });
          route("/logout-now", (ctx) => {
            Promise.resolve(regenerate(ctx)).catch(() => {});
            ctx.session = null;
          });
          const answer = await visitor.browser.get("/logout-now");
          assertEquals(answer.status, 200);
          await pause(20);
          for (const id of ids) assertEquals(await peek(id), undefined);
          const { json } = await visitor.browser.get("/session");
          assertEquals(json.session, {});
          assertEquals(await bridge.sessionIdOf(visitor.clientId), undefined);
        });
      }

      for (const [name, act] of Object.entries(ANEW)) {
        kind.it(
          `that ${name} sends the cookie of a stored session`,
          async () => {
            const scenario = await start();
            const { bridge, peek, route } = scenario;
            const { browser, sessionId } = await scenario.visit();
            let shown: string | undefined;
            route("/anew", async (ctx) => {
              await act(ctx);
              shown = ctx.sessionId;
            });
            const answer = await browser.get("/anew");
            assertEquals(answer.status, 200);
            const id = answer.cookie(KEY)?.value;
            assert(id);
            assertNotEquals(id, sessionId);
            assertEquals(await peek(id), { n: 1 });
            if (shown !== undefined) assertEquals(shown, id);
            assertEquals(await peek(sessionId), undefined);
            const { json } = await browser.get("/session");
            assertEquals(json.session, { n: 1 });
            await until(() => bridge.stats().sessions === 1, "one session");
          },
        );
      }
    });
  }

  describe("a request that takes longer than maxAge", () => {
    kind.it("stores nothing, sends no cookie and is reported", async () => {
      const store = await kind.open();
      const scenario = await startScenario({ store, maxAge: 150 });
      const conflicts: SessionConflict[] = [];
      scenario.bridge.on("sessionConflict", (event) => conflicts.push(event));
      scenario.route("/slow", async (ctx) => {
        ctx.session!.paid = true;
        await pause(300);
      });
      const { browser, sessionId } = await scenario.visit();
      const slow = await browser.get("/slow");
      assertEquals(slow.status, 200);
      assertEquals(slow.cookie(KEY), undefined);
      assertEquals(await scenario.peek(sessionId), undefined);
      assertEquals(conflicts, [
        { sessionId, keys: [], resolution: "refused" },
      ]);
      assertEquals((await browser.get("/session")).json.session, {});
    });

    kind.it(
      "stores what it changed where another request has prolonged the session",
      async () => {
        const store = await kind.open();
        const scenario = await startScenario({
          store,
          maxAge: 400,
          rolling: true,
        });
        const conflicts: SessionConflict[] = [];
        scenario.bridge.on("sessionConflict", (event) => conflicts.push(event));
        const [begun, go] = [deferred(), deferred()];
        scenario.route("/slow", async (ctx) => {
          ctx.session!.paid = true;
          begun.resolve();
          await go.promise;
        });
        const { browser, sessionId } = await scenario.visit();
        const slow = browser.get("/slow");
        await begun.promise;
        for (let i = 0; i < 6; i++) {
          await pause(100);
          await browser.get("/session");
        }
        go.resolve();
        assertEquals((await slow).status, 200);
        assertEquals(await scenario.peek(sessionId), { n: 0, paid: true });
        assertEquals(conflicts, []);
      },
    );
  });
});
