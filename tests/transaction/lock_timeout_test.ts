import { describe, it } from "@std/testing/bdd";
import { assert, assertEquals } from "@std/assert";
import { codeOf } from "../support/errors.ts";
import { increment } from "../support/routes.ts";
import { startScenario } from "../support/scenario.ts";
import { deferred, pause, settles } from "../support/wait.ts";

describe("withSession() under lockTimeout", () => {
  it("ends typed where the async context was lost", async () => {
    await using scenario = await startScenario({ lockTimeout: 150 });
    const { sessionId } = await scenario.visit();
    // the worker was started elsewhere: its calls are outside of this async chain
    const job = deferred<() => Promise<unknown>>();
    const worker = job.promise.then((work) => work());
    const inner = codeOf(worker);
    const outer = codeOf(
      scenario.bridge.withSession(sessionId, async (held) => {
        held.session!.outer = true;
        job.resolve(() =>
          scenario.bridge.withSession(sessionId, ({ session }) => {
            session!.inner = true;
          })
        );
        await worker;
      }),
    );
    const codes = await settles(Promise.all([outer, inner]), "both", 2_000);
    assert(codes.includes("SESSION_TIMEOUT"), String(codes));
    for (const code of codes) {
      assert(code === undefined || code === "SESSION_TIMEOUT", code);
    }
    const session = await scenario.peek(sessionId);
    assertEquals([session?.outer, session?.inner], [
      codes[0] === undefined ? true : undefined,
      codes[1] === undefined ? true : undefined,
    ]);
  });

  it("ends typed where two sessions are held crosswise", async () => {
    await using scenario = await startScenario({ lockTimeout: 150 });
    const ids = [
      (await scenario.visit()).sessionId,
      (await scenario.visit()).sessionId,
    ];
    const both = [deferred(), deferred()];
    const codes = await settles(
      Promise.all(
        [0, 1].map((i) =>
          codeOf(scenario.bridge.withSession(ids[i]!, async () => {
            both[i]!.resolve();
            await both[1 - i]!.promise;
            await scenario.bridge.withSession(ids[1 - i]!, increment);
          }))
        ),
      ),
      "both",
      2_000,
    );
    assert(codes.includes("SESSION_TIMEOUT"), String(codes));
    for (const id of ids) {
      await settles(scenario.bridge.withSession(id, increment), "it", 1_000);
    }
  });

  it("keeps an overdue handler's write if the session was not granted again", async () => {
    await using scenario = await startScenario({ lockTimeout: 60 });
    const { sessionId } = await scenario.visit();
    await scenario.bridge.withSession(sessionId, async (sessionCtx) => {
      await pause(150);
      sessionCtx.session!.n = 5;
    });
    assertEquals((await scenario.peek(sessionId))?.n, 5);
  });

  it("rejects an overdue handler whose session was granted again, and writes nothing of it", async () => {
    await using scenario = await startScenario({ lockTimeout: 100 });
    const { sessionId } = await scenario.visit();
    const gate = deferred();
    const overdue = codeOf(
      scenario.bridge.withSession(sessionId, async (sessionCtx) => {
        sessionCtx.session!.n = 99;
        sessionCtx.session!.overdue = true;
        await gate.promise;
      }),
    );
    await pause(30);
    await settles(
      scenario.bridge.withSession(sessionId, increment),
      "next",
      1_000,
    );
    gate.resolve();
    assertEquals(await overdue, "SESSION_TIMEOUT");
    assertEquals(await scenario.peek(sessionId), { n: 1 });
  });

  it("ends every wait in time, and answers 503 over HTTP", async () => {
    await using scenario = await startScenario({ lockTimeout: 100 });
    scenario.route("/add", (ctx) => ctx.withSession(increment));
    const { browser, sessionId } = await scenario.visit();
    const gate = deferred();
    const holders = [1, 2, 3].map(() =>
      codeOf(scenario.bridge.withSession(sessionId, () => gate.promise))
    );
    const answer = await settles(browser.post("/add"), "the answer", 1_000);
    assertEquals(answer.status, 503);
    gate.resolve();
    assert((await Promise.all(holders)).includes("SESSION_TIMEOUT"));
  });
});
