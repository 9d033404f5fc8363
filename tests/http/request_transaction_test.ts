import { describe, it } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertNotEquals,
  assertStrictEquals,
} from "@std/assert";
import { mentionsSession } from "../support/browser.ts";
import { KEY } from "../support/cookies.ts";
import { codeOf } from "../support/errors.ts";
import { startScenario } from "../support/scenario.ts";
import { collect, once, settles } from "../support/wait.ts";

describe("ctx.withSession() of a request without a session", () => {
  it("lets onMissing decide when nothing is pending", async () => {
    await using scenario = await startScenario();
    const starts = collect(scenario.bridge, "sessionStart");
    const browser = scenario.browser();
    scenario.route("/throw", (ctx) => ctx.withSession(() => "ran"));
    scenario.route("/value", (ctx) => ctx.withSession(() => "ran", "guest"));
    scenario.route(
      "/call",
      (ctx) => ctx.withSession(() => "ran", () => "called"),
    );
    scenario.route("/touched", (ctx) => {
      assert(ctx.session);
      return ctx.withSession(() => "ran", "empty");
    });
    assertEquals((await browser.get("/throw")).status, 401);
    assertEquals((await browser.get("/value")).body, "guest");
    assertEquals((await browser.get("/call")).body, "called");
    assertEquals((await browser.get("/touched")).body, "empty");
    assertStrictEquals(browser.jar.get(KEY), undefined);
    assertEquals(starts, []);
  });

  it("begins a session that has pending changes", async () => {
    await using scenario = await startScenario();
    const started = once<[{ sessionId: string; cause: string }]>(
      scenario.bridge,
      "sessionStart",
    );
    const browser = scenario.browser();
    scenario.route("/begin", async (ctx) => {
      ctx.session!.user = "ada";
      const inside = await ctx.withSession(({ session, sessionId }) => {
        session!.n = 1;
        return sessionId;
      });
      assertEquals(ctx.sessionId, inside);
      return { inside, session: ctx.session };
    });
    const { inside, session } = (await browser.post("/begin")).json;
    assertEquals(session, { user: "ada", n: 1 });
    const [event] = await started;
    assertEquals([event.sessionId, event.cause], [inside, "created"]);
    assertEquals(browser.jar.get(KEY), inside);
    assertEquals(await scenario.peek(inside), { user: "ada", n: 1 });
    assertEquals((await browser.get("/session")).json.session, {
      user: "ada",
      n: 1,
    });
  });
});

describe("inside a handler of the same session", () => {
  it("ctx.session.save() joins", async () => {
    await using scenario = await startScenario({ onConflict: "reject" });
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    scenario.route(
      "/save",
      (ctx) =>
        settles(ctx.withSession(async ({ session }) => {
          session!.a = 1;
          ctx.session!.b = 2;
          await ctx.session!.save();
          return "saved";
        })),
    );
    const answer = await browser.post("/save");
    assertEquals(answer.body, "saved");
    assertEquals(await scenario.peek(sessionId), { n: 1, a: 1, b: 2 });
    assertEquals(scenario.bridge.stats().conflicts, 0);
  });

  it("ctx.session.save() of a plain request joins bridge.withSession()", async () => {
    await using scenario = await startScenario({ onConflict: "reject" });
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    scenario.route("/save", async (ctx) => {
      ctx.session!.b = 2;
      await settles(
        scenario.bridge.withSession(sessionId, async ({ session }) => {
          session!.a = 1;
          await ctx.session!.save();
        }),
      );
      return "saved";
    });
    assertEquals((await browser.post("/save")).body, "saved");
    assertEquals(await scenario.peek(sessionId), { n: 1, a: 1, b: 2 });
  });

  it("ctx.session.manuallyCommit() joins", async () => {
    await using scenario = await startScenario({ autoCommit: false });
    const browser = scenario.browser();
    scenario.route("/begin", async (ctx) => {
      ctx.session!.n = 1;
      await ctx.session!.manuallyCommit();
      return ctx.sessionId;
    });
    scenario.route(
      "/commit",
      (ctx) =>
        settles(ctx.withSession(async ({ session }) => {
          session!.a = 1;
          ctx.session!.b = 2;
          await ctx.session!.manuallyCommit();
          return "committed";
        })),
    );
    const sessionId = (await browser.post("/begin")).body;
    assertEquals((await browser.post("/commit")).body, "committed");
    assertEquals(await scenario.peek(sessionId), { n: 1, a: 1, b: 2 });
  });

  it("save() of a handler that throws later is taken back with it", async () => {
    await using scenario = await startScenario();
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    scenario.route("/save", (ctx) =>
      ctx.withSession(async ({ session }) => {
        session!.n = 2;
        await ctx.session!.save();
        throw new Error("later");
      }).catch((error: Error) => error.message));
    assertEquals((await browser.post("/save")).body, "later");
    assertEquals(await scenario.peek(sessionId), { n: 1 });
  });

  it("sessionCtx.session = null ends the session and deletes its cookie", async () => {
    await using scenario = await startScenario();
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    scenario.route("/end", async (ctx) => {
      await ctx.withSession((sessionCtx) => {
        sessionCtx.session = null;
      });
      assertStrictEquals(ctx.session, null);
      assertStrictEquals(ctx.sessionId, undefined);
      return "out";
    });
    const answer = await browser.post("/end");
    assertEquals(answer.body, "out");
    assert(answer.cookie(KEY)?.deletes);
    assertStrictEquals(browser.jar.get(KEY), undefined);
    assertStrictEquals(await scenario.peek(sessionId), undefined);
  });

  it("a destroy neither hangs nor leaves the session alive", async () => {
    await using scenario = await startScenario();
    for (const way of ["bridge", "request"]) {
      const { browser, sessionId } = await scenario.visit({ n: 1 });
      scenario.route(`/${way}`, async (ctx) => {
        const code = await settles(codeOf(ctx.withSession(async (held) => {
          held.session!.n = 2;
          if (way === "bridge") {
            assertEquals(await scenario.bridge.destroy(sessionId), true);
          } else {
            const session = ctx.session!;
            ctx.session = null;
            await session.manuallyCommit();
          }
          held.session!.n = 3;
        })));
        assert(code === undefined || code === "SESSION_ENDED", code);
        return "settled";
      });
      assertEquals((await browser.post(`/${way}`)).body, "settled", way);
      assertStrictEquals(await scenario.peek(sessionId), undefined, way);
    }
  });

  it("a regenerate joins and takes the handler's changes along", async () => {
    await using scenario = await startScenario();
    for (const way of ["ctx", "native"]) {
      const { browser, sessionId } = await scenario.visit({ n: 1 });
      scenario.route(`/${way}`, async (ctx) => {
        await settles(ctx.withSession(async ({ session }) => {
          session!.before = true;
          if (way === "ctx") await ctx.regenerateSession();
          else await ctx.session!.regenerate();
          session!.after = true;
        }));
        return ctx.sessionId;
      });
      const newId = (await browser.post(`/${way}`)).body;
      assertNotEquals(newId, sessionId);
      assertEquals(browser.jar.get(KEY), newId, way);
      assertStrictEquals(await scenario.peek(sessionId), undefined, way);
      assertEquals(
        await scenario.peek(newId),
        { n: 1, before: true, after: true },
        way,
      );
    }
  });
});

describe("ctx.withSession() beside others", () => {
  it("sends a cookie only where the session or its life is new", async () => {
    await using scenario = await startScenario();
    const { browser } = await scenario.visit({ n: 1 });
    scenario.route(
      "/read",
      (ctx) => ctx.withSession(({ session }) => session!.n),
    );
    const answer = await browser.get("/read");
    assertEquals(answer.body, "1");
    assert(!mentionsSession(answer));
  });

  it("sees what others wrote since the request loaded its session", async () => {
    await using scenario = await startScenario();
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    scenario.route("/late", async (ctx) => {
      assertEquals(ctx.session!.n, 1);
      await scenario.bridge.withSession(
        sessionId,
        ({ session }) => void (session!.n = 5),
      );
      await ctx.withSession(({ session }) => void (session!.n! += 1));
      return ctx.session!.n;
    });
    assertEquals((await browser.post("/late")).body, "6");
  });

  it("has no socket, where socket.withSession() has its own", async () => {
    await using scenario = await startScenario();
    const { browser, connect } = await scenario.visit();
    const { server } = await connect();
    scenario.route(
      "/socket",
      (ctx) => ctx.withSession((sessionCtx) => String(sessionCtx.socket)),
    );
    assertEquals((await browser.get("/socket")).body, "undefined");
    await server.withSession((sessionCtx) => {
      assertStrictEquals(sessionCtx.socket as unknown, server as unknown);
    });
  });
});
