import { describe, it } from "@std/testing/bdd";
import { assertEquals, assertRejects } from "@std/assert";
import { SessionStore } from "@koa-io/session";
import { increment } from "../support/routes.ts";
import { startScenario } from "../support/scenario.ts";
import { deferred, pause, settles } from "../support/wait.ts";

describe("withSession() inside withSession()", () => {
  it("joins the call that holds the session anywhere up its async chain", async () => {
    const store = new SessionStore();
    await using scenario = await startScenario({ store });
    const { sessionId, connect } = await scenario.visit();
    const { server } = await connect();
    let writes = 0;
    store.on("set", () => writes++);
    const seen = await settles(
      scenario.bridge.withSession(sessionId, async (outer) => {
        outer.session!.n = 10;
        await pause(1);
        return await server.withSession((inner) =>
          scenario.bridge.withSession(sessionId, (innermost) => {
            innermost.session!.n = innermost.session!.n! + 1;
            return [inner.session!.n, innermost.session!.n];
          })
        );
      }),
      "the nested call",
    );
    assertEquals(seen.at(-1), 11);
    assertEquals((await scenario.peek(sessionId))?.n, 11);
    assertEquals(writes, 1);
    store.close();
  });

  it("joins across ctx.withSession() too", async () => {
    await using scenario = await startScenario();
    scenario.route("/nest", (ctx) =>
      ctx.withSession(async (outer) => {
        outer.session!.a = 1;
        await scenario.bridge.withSession(ctx.sessionId!, (inner) => {
          inner.session!.b = (inner.session!.a as number) + 1;
        });
        return outer.session!.b;
      }));
    const { browser, sessionId } = await scenario.visit();
    assertEquals((await browser.post("/nest")).body, "2");
    assertEquals(await scenario.peek(sessionId), { n: 0, a: 1, b: 2 });
  });

  it("runs joined siblings one by one", async () => {
    await using scenario = await startScenario();
    const { sessionId } = await scenario.visit();
    let running = 0;
    let most = 0;
    await settles(scenario.bridge.withSession(sessionId, () =>
      Promise.all(
        Array.from({ length: 5 }, () =>
          scenario.bridge.withSession(sessionId, async (sessionCtx) => {
            most = Math.max(most, ++running);
            const n = sessionCtx.session!.n!;
            await pause(1);
            sessionCtx.session!.n = n + 1;
            running--;
          })),
      )));
    assertEquals(most, 1);
    assertEquals((await scenario.peek(sessionId))?.n, 5);
  });

  it("takes back only its own changes when it throws", async () => {
    await using scenario = await startScenario();
    const { sessionId } = await scenario.visit({ nested: { a: 1 }, list: [1] });
    await scenario.bridge.withSession(sessionId, async (outer) => {
      outer.session!.nested!.a = 2;
      await assertRejects(
        () =>
          scenario.bridge.withSession(sessionId, (inner) => {
            inner.session!.nested!.a = 99;
            inner.session!.nested!.b = 99;
            inner.session!.list!.push(99);
            delete inner.session!.kept;
            throw new Error("inner");
          }),
        Error,
        "inner",
      );
      assertEquals(outer.session!.nested, { a: 2 });
      await scenario.bridge.withSession(sessionId, (inner) => {
        inner.session!.list!.push(2);
      });
    });
    assertEquals(await scenario.peek(sessionId), {
      nested: { a: 2 },
      list: [1, 2],
    });
  });

  it("keeps the outer call open until joined calls that have started are done", async () => {
    await using scenario = await startScenario();
    const { sessionId } = await scenario.visit();
    let inner: Promise<unknown> | undefined;
    await settles(scenario.bridge.withSession(sessionId, async () => {
      const started = deferred();
      inner = scenario.bridge.withSession(sessionId, async (sessionCtx) => {
        started.resolve();
        await pause(20);
        sessionCtx.session!.n = 7;
      });
      await started.promise;
    }));
    assertEquals((await scenario.peek(sessionId))?.n, 7);
    await inner;
  });

  it("is a new call once the outer call has finished", async () => {
    await using scenario = await startScenario();
    const { sessionId } = await scenario.visit();
    const over = deferred();
    let late: Promise<unknown> | undefined;
    await scenario.bridge.withSession(sessionId, (sessionCtx) => {
      sessionCtx.session!.n = 1;
      late = over.promise.then(() =>
        scenario.bridge.withSession(sessionId, increment)
      );
    });
    over.resolve();
    assertEquals(await settles(late!), 2);
    assertEquals((await scenario.peek(sessionId))?.n, 2);
  });
});
