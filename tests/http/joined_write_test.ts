/** Writes of a request in handlers of its session: each is a patch against its last one, and never repeats it. */
import { assertEquals } from "@std/assert";
import { describe } from "@std/testing/bdd";
import { native } from "../support/app.ts";
import { KEY } from "../support/cookies.ts";
import { startScenario } from "../support/scenario.ts";
import type { TestOptions } from "../support/server.ts";
import { onEachStore } from "../support/stores/each_store.ts";
import { deferred, settles } from "../support/wait.ts";

const HOUR = 3_600_000;
const MONTH = 30 * 24 * HOUR;

onEachStore((kind) => {
  const begin = async (options: TestOptions = {}) =>
    await startScenario({
      store: await kind.open(),
      maxAge: HOUR,
      onConflict: "reject",
      ...options,
    });

  describe("a joined write", () => {
    kind.it("does not repeat what the request carried in", async () => {
      await using scenario = await begin();
      const { browser, sessionId } = await scenario.visit({ n: 1 });
      scenario.route("/save", (ctx) => {
        ctx.session!.a = 2;
        return ctx.withSession(async ({ session }) => {
          session!.a = 7;
          ctx.session!.b = 1;
          await ctx.session!.save();
          return session!.a;
        });
      });
      assertEquals((await browser.post("/save")).body, "7");
      assertEquals(await scenario.peek(sessionId), { n: 1, a: 7, b: 1 });
    });

    kind.it("does not repeat an earlier joined write", async () => {
      await using scenario = await begin();
      const { browser, sessionId } = await scenario.visit({ n: 1 });
      scenario.route("/twice", async (ctx) => {
        await ctx.withSession(async ({ session }) => {
          ctx.session!.z = 1;
          await ctx.session!.save();
          session!.z = 2;
          delete session!.n;
          ctx.session!.w = 1;
          await ctx.session!.save();
        });
        return ctx.session;
      });
      assertEquals((await browser.post("/twice")).json, { z: 2, w: 1 });
      assertEquals(await scenario.peek(sessionId), { z: 2, w: 1 });
    });

    kind.it("by regenerateSession() repeats none", async () => {
      await using scenario = await begin();
      const { browser } = await scenario.visit({ n: 1 });
      scenario.route("/regenerate", async (ctx) => {
        ctx.session!.z = 1;
        await ctx.withSession(async ({ session }) => {
          session!.z = 2;
          await ctx.regenerateSession();
          session!.n = 5;
          ctx.session!.w = 1;
          await ctx.session!.save();
        });
        return ctx.session;
      });
      const stored = { n: 5, z: 2, w: 1 };
      assertEquals((await browser.post("/regenerate")).json, stored);
      assertEquals(await scenario.peek(browser.jar.get(KEY)!), stored);
    });

    kind.it("of a handler that throws is still pending", async () => {
      await using scenario = await begin();
      const { browser, sessionId } = await scenario.visit({ n: 1 });
      scenario.route("/throw", async (ctx) => {
        ctx.session!.a = 2;
        const fails = ctx.withSession(async ({ session }) => {
          ctx.session!.b = 3;
          await ctx.session!.save();
          session!.a = 7;
          throw new Error("no");
        });
        await fails.catch(() => {});
        return "caught";
      });
      assertEquals((await browser.post("/throw")).body, "caught");
      assertEquals(await scenario.peek(sessionId), { n: 1, a: 2, b: 3 });
    });

    kind.it("of a joined call that throws is applied anew", async () => {
      await using scenario = await begin();
      const { browser, sessionId } = await scenario.visit({ n: 1 });
      scenario.route("/nested", async (ctx) => {
        await ctx.withSession(async () => {
          const fails = ctx.withSession(async () => {
            ctx.session!.b = 3;
            await ctx.session!.save();
            throw new Error("no");
          });
          await fails.catch(() => {});
          await ctx.session!.save();
        });
        return "done";
      });
      assertEquals((await browser.post("/nested")).body, "done");
      assertEquals(await scenario.peek(sessionId), { n: 1, b: 3 });
    });

    kind.it("in bridge.withSession() is not repeated at the end", async () => {
      await using scenario = await begin();
      const { browser, sessionId } = await scenario.visit({ n: 1 });
      scenario.route("/save", async (ctx) => {
        await settles(
          scenario.bridge.withSession(sessionId, async ({ session }) => {
            ctx.session!.z = 1;
            await ctx.session!.save();
            session!.z = 2;
          }),
        );
        ctx.session!.late = true;
        return "saved";
      });
      assertEquals((await browser.post("/save")).body, "saved");
      assertEquals(await scenario.peek(sessionId), { n: 1, z: 2, late: true });
    });

    kind.it("leaves a life that another request has set", async () => {
      await using scenario = await begin();
      const { browser } = await scenario.visit({ n: 1 });
      const [loaded, go] = [deferred(), deferred()];
      scenario.route("/older", async (ctx) => {
        ctx.session!.older = 1;
        loaded.resolve();
        await go.promise;
        await ctx.withSession(() => ctx.session!.save());
        return "saved";
      });
      scenario.route("/long", (ctx) => {
        native(ctx).maxAge = MONTH;
        return "long";
      });
      scenario.route("/life", (ctx) => ({ life: native(ctx).maxAge }));
      const older = browser.post("/older");
      await loaded.promise;
      await browser.post("/long");
      go.resolve();
      await older;
      assertEquals((await browser.get("/life")).json, { life: MONTH });
    });

    kind.it("sets the life that its request has set", async () => {
      await using scenario = await begin();
      const { browser } = await scenario.visit({ n: 1 });
      scenario.route("/long", async (ctx) => {
        await ctx.withSession(async () => {
          native(ctx).maxAge = MONTH;
          await ctx.session!.save();
        });
        return "saved";
      });
      scenario.route("/life", (ctx) => ({ life: native(ctx).maxAge }));
      await browser.post("/long");
      assertEquals((await browser.get("/life")).json, { life: MONTH });
    });
  });

  describe('ctx.session.maxAge = "session"', () => {
    const acts = { save: true, withSession: false };
    for (const [name, saves] of Object.entries(acts)) {
      kind.it(`after ${name}() of the same request is stored`, async () => {
        await using scenario = await begin({ maxAge: 24 * HOUR });
        const { browser } = await scenario.visit({ n: 1 });
        scenario.route("/brief", async (ctx) => {
          ctx.session!.n = 2;
          if (saves) await ctx.session!.save();
          else await ctx.withSession(() => {});
          native(ctx).maxAge = "session";
          return "set";
        });
        scenario.route("/life", (ctx) => ({ life: native(ctx).maxAge }));
        await browser.post("/brief");
        assertEquals((await browser.get("/life")).json, { life: "session" });
      });
    }
  });

  describe("a call that waits while its own request rotates the session", () => {
    const user = (session: Record<string, unknown>) => session.user;
    const options = { user } as TestOptions;

    kind.it("runs on the new id after a login", async () => {
      await using scenario = await begin(options);
      const { browser, sessionId } = await scenario.visit({ n: 1 });
      scenario.route("/login", async (ctx) => {
        await settles(Promise.all([
          ctx.withSession(({ session }) => {
            session!.user = "ada";
          }),
          ctx.withSession(({ session }) => {
            session!.w = 1;
          }),
        ]));
        return ctx.session;
      });
      const stored = { n: 1, user: "ada", w: 1 };
      assertEquals((await browser.post("/login")).json, stored);
      const now = browser.jar.get(KEY)!;
      assertEquals(await scenario.peek(now), stored);
      assertEquals(await scenario.peek(sessionId), undefined);
    });

    for (const turns of [0, 2, 5, 10]) {
      kind.it(
        `runs on it ${turns} turns after regenerateSession()`,
        async () => {
          await using scenario = await begin(options);
          const { browser } = await scenario.visit({ n: 1 });
          scenario.route("/leave", async (ctx) => {
            const leaving = ctx.regenerateSession({ sockets: "leave" });
            for (let turn = 0; turn < turns; turn++) await Promise.resolve();
            await settles(Promise.all([
              leaving,
              ctx.withSession(({ session }) => {
                session!.w = 1;
              }),
            ]));
            return ctx.session;
          });
          const stored = { n: 1, w: 1 };
          assertEquals((await browser.post("/leave")).json, stored);
          assertEquals(await scenario.peek(browser.jar.get(KEY)!), stored);
        },
      );
    }
  });
});
