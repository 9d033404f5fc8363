import { describe, it } from "@std/testing/bdd";
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import type { TestContext, TestSession } from "../support/app.ts";
import { type Answer, mentionsSession } from "../support/browser.ts";
import { type Scenario, startScenario } from "../support/scenario.ts";
import type { TestOptions } from "../support/server.ts";
import { collect, deferred, pause, settles, until } from "../support/wait.ts";

/**
 * A plain request that loads the session, lets another writer commit, and then makes its own changes: the session afterwards, and the answer.
 */
async function race(
  options: TestOptions,
  before: TestSession,
  theirs: (session: TestSession) => void,
  mine: (ctx: TestContext) => unknown,
): Promise<
  { after: TestSession | undefined; answer: Answer; scenario: Scenario }
> {
  const scenario = await startScenario(options);
  const { browser, sessionId } = await scenario.visit(before);
  scenario.route("/slow", async (ctx) => {
    assert(ctx.session);
    await scenario.bridge.withSession(sessionId, (sessionCtx) => {
      theirs(sessionCtx.session!);
    });
    await mine(ctx);
    return "done";
  });
  const answer = await browser.post("/slow");
  return { after: await scenario.peek(sessionId), answer, scenario };
}

describe("ctx.session commits a patch", () => {
  it("that merges with a write to other keys", async () => {
    const { after, answer, scenario } = await race(
      { onConflict: "reject" },
      { a: 1, b: 1 },
      (session) => session.a = 2,
      (ctx) => ctx.session!.b = 2,
    );
    await using _ = scenario;
    assertEquals(answer.status, 200);
    assertEquals(after, { a: 2, b: 2 });
  });

  it("that keeps its own deletions and those of others", async () => {
    const { after, scenario } = await race(
      {},
      { a: 1, b: 1, c: 1 },
      (session) => delete session.a,
      (ctx) => delete ctx.session!.b,
    );
    await using _ = scenario;
    assertEquals(after, { c: 1 });
  });

  it("that notices what was changed deep inside", async () => {
    const { after, scenario } = await race(
      {},
      { nested: { a: 1 }, b: 1 },
      (session) => session.b = 2,
      (ctx) => ctx.session!.nested!.a = 2,
    );
    await using _ = scenario;
    assertEquals(after, { nested: { a: 2 }, b: 2 });
  });

  it("also when a whole object is assigned", async () => {
    const { after, scenario } = await race(
      {},
      { a: 1, b: 1 },
      (session) => session.theirs = true,
      (ctx) =>
        ctx.session = { a: 1, mine: true } as unknown as typeof ctx.session,
    );
    await using _ = scenario;
    assertEquals(after, { a: 1, mine: true, theirs: true });
  });

  it("and writes nothing when it changed nothing", async () => {
    const { after, scenario } = await race(
      { rolling: true },
      { a: 1 },
      (session) => session.a = 2,
      (ctx) => ctx.session!.a,
    );
    await using _ = scenario;
    assertEquals(after, { a: 2 });
  });

  it("after waiting for a transaction that runs on the session", async () => {
    await using scenario = await startScenario();
    const { browser, sessionId } = await scenario.visit({ n: 0 });
    const written = deferred();
    scenario.route("/plain", (ctx) => {
      ctx.session!.plain = true;
      written.resolve();
    });
    const gate = deferred();
    let open = true;
    const held = scenario.bridge.withSession(sessionId, async ({ session }) => {
      await gate.promise;
      session!.n = 1;
      open = false;
    });
    const answered = browser.post("/plain").then((answer) => {
      assert(!open, "the request overlapped the transaction");
      return answer;
    });
    await written.promise;
    await pause(30);
    gate.resolve();
    await held;
    assertEquals((await answered).status, 200);
    assertEquals(await scenario.peek(sessionId), { n: 1, plain: true });
  });
});

describe("onConflict", () => {
  const theirs = (session: TestSession) => session.n = 2;
  const mine = (ctx: TestContext) => ctx.session!.n = 3;

  it('"last" lets the later write win and emits sessionConflict', async () => {
    await using scenario = await startScenario();
    const conflicts = collect<[{ sessionId: string; keys: string[] }]>(
      scenario.bridge,
      "sessionConflict",
    );
    const { browser, sessionId } = await scenario.visit({ n: 1, m: 1 });
    scenario.route("/slow", async (ctx) => {
      ctx.session!.n = 3;
      await scenario.bridge.withSession(sessionId, (sessionCtx) => {
        sessionCtx.session = { n: 2, m: 2 };
      });
    });
    assertEquals((await browser.post("/slow")).status, 200);
    assertEquals(await scenario.peek(sessionId), { n: 3, m: 2 });
    assertEquals(conflicts.length, 1);
    assertEquals(conflicts[0]![0].sessionId, sessionId);
    assertEquals(conflicts[0]![0].keys, ["n"]);
  });

  it('"reject" answers 409 with a typed error, and writes nothing of it', async () => {
    const { after, answer, scenario } = await race(
      { onConflict: "reject" },
      { n: 1 },
      theirs,
      (ctx) => {
        mine(ctx);
        ctx.session!.other = true;
      },
    );
    await using _ = scenario;
    assertEquals(answer.status, 409);
    assertEquals(after, { n: 2 });
    assertEquals(
      scenario.errors.map((error) => (error as { code?: string }).code),
      ["SESSION_CONFLICT"],
    );
  });

  it("as a function decides by key, base, mine and theirs", async () => {
    const asked: unknown[] = [];
    const { after, scenario } = await race(
      {
        onConflict: (conflict) => {
          asked.push({ ...conflict });
          return Number(conflict.mine) + Number(conflict.theirs) -
            Number(conflict.base);
        },
      },
      { n: 1 },
      theirs,
      mine,
    );
    await using _ = scenario;
    assertEquals(asked, [{ key: "n", base: 1, mine: 3, theirs: 2 }]);
    assertEquals(after, { n: 4 });
  });

  it("is not called when both values are equal", async () => {
    const { after, answer, scenario } = await race(
      { onConflict: "reject" },
      { nested: { a: 1 }, gone: 1 },
      (session) => {
        session.nested = { a: 5 };
        delete session.gone;
      },
      (ctx) => {
        ctx.session!.nested!.a = 5;
        delete ctx.session!.gone;
      },
    );
    await using _ = scenario;
    assertEquals(answer.status, 200);
    assertEquals(after, { nested: { a: 5 } });
    assertEquals(scenario.bridge.stats().conflicts, 0);
  });
});

describe("an error at commit", () => {
  it("never hides the handler's own", async () => {
    const { after, answer, scenario } = await race(
      { onConflict: "reject" },
      { n: 1 },
      (session) => session.n = 2,
      (ctx) => {
        ctx.session!.n = 3;
        ctx.throw(418, "mine");
      },
    );
    await using _ = scenario;
    assertEquals(answer.status, 418);
    assertEquals(answer.body, "mine");
    assertEquals(after, { n: 2 });
  });

  it("is the answer when the handler had none: JSON cannot hold the data", async () => {
    await using scenario = await startScenario();
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    scenario.route("/bigint", (ctx) => void (ctx.session!.big = 1n));
    scenario.route("/cyclic", (ctx) => {
      const cyclic: TestSession = {};
      cyclic.self = cyclic;
      ctx.session!.cyclic = cyclic;
    });
    for (const path of ["/bigint", "/cyclic"]) {
      assertEquals((await browser.post(path)).status, 500, path);
    }
    assertEquals(await scenario.peek(sessionId), { n: 1 });
  });
});

describe("ctx.session once headers are sent", () => {
  it("saves the data, skips the cookie and warns once", async () => {
    const warnings: string[] = [];
    const warn = console.warn;
    console.warn = (...args: unknown[]) => void warnings.push(args.join(" "));
    try {
      await using scenario = await startScenario({ rolling: true });
      const { browser, sessionId } = await scenario.visit({ n: 1 });
      scenario.route("/early", (ctx) => {
        ctx.res.writeHead(200);
        ctx.res.write("early");
        ctx.session!.n = ctx.session!.n! + 1;
        ctx.res.end();
      });
      for (const n of [2, 3]) {
        const answer = await browser.get("/early");
        assertEquals(answer.body, "early");
        assert(!mentionsSession(answer));
        await until(
          async () => (await scenario.peek(sessionId))?.n === n,
          `n to be ${n}`,
        );
      }
      assertEquals(scenario.errors, []);
      assertEquals(warnings.length, 1, warnings.join("\n"));
    } finally {
      console.warn = warn;
    }
  });
});

describe("a plain request beside its own withSession()", () => {
  it("takes pending changes into the handler, and the result back into the same object", async () => {
    await using scenario = await startScenario({ onConflict: "reject" });
    const { browser, sessionId } = await scenario.visit({ n: 1, list: [1] });
    scenario.route("/both", async (ctx) => {
      const { session } = ctx;
      session!.pending = 1;
      session!.list!.push(2);
      const seen = await ctx.withSession((sessionCtx) => {
        const copy = structuredClone({ ...sessionCtx.session! });
        sessionCtx.session!.n = 2;
        sessionCtx.session!.list!.push(3);
        delete sessionCtx.session!.pending;
        return copy;
      });
      assertStrictEquals(ctx.session, session);
      return { seen, session: ctx.session };
    });
    const answer = await browser.post("/both");
    assertEquals(answer.json, {
      seen: { n: 1, list: [1, 2], pending: 1 },
      session: { n: 2, list: [1, 2, 3] },
    });
    assertEquals(await scenario.peek(sessionId), { n: 2, list: [1, 2, 3] });
  });

  it("commits plain changes made after it", async () => {
    await using scenario = await startScenario({ onConflict: "reject" });
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    scenario.route("/both", async (ctx) => {
      await ctx.withSession(({ session }) => void (session!.n = 2));
      ctx.session!.n = 3;
      await ctx.withSession(({ session }) => void (session!.n! += 1));
      ctx.session!.after = true;
    });
    assertEquals((await browser.post("/both")).status, 200);
    assertEquals(await scenario.peek(sessionId), { n: 4, after: true });
  });

  it("leaves pending changes pending when the handler throws", async () => {
    await using scenario = await startScenario();
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    scenario.route("/both", async (ctx) => {
      ctx.session!.pending = 1;
      await settles(
        ctx.withSession(({ session }) => {
          session!.n = 9;
          throw new Error("inside");
        }).catch(() => {}),
      );
      return ctx.session;
    });
    assertEquals((await browser.post("/both")).json, { n: 1, pending: 1 });
    assertEquals(await scenario.peek(sessionId), { n: 1, pending: 1 });
  });
});
