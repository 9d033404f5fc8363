import { describe, it } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertFalse,
  assertNotEquals,
  assertStrictEquals,
} from "@std/assert";
import { SessionStore } from "@koa-io/session";
import type { TestContext } from "../support/app.ts";
import { type Answer, mentionsSession } from "../support/browser.ts";
import { KEY } from "../support/cookies.ts";
import { codeOf } from "../support/errors.ts";
import {
  type Scenario,
  startScenario,
  type Visitor,
} from "../support/scenario.ts";
import type { TestOptions } from "../support/server.ts";
import {
  FaultyAtomicStore,
  FaultyBasicStore,
} from "../support/stores/faulty_stores.ts";
import {
  collect,
  type Deferred,
  deferred,
  pause,
  settles,
  until,
} from "../support/wait.ts";

/** A request that loads the session, waits for the gate and then does its own. */
interface SlowRequest {
  readonly gate: Deferred;
  readonly answer: Promise<Answer>;
}

async function slowRequest(
  scenario: Scenario,
  { browser }: Visitor,
  act: (ctx: TestContext) => unknown,
): Promise<SlowRequest> {
  const [loaded, gate] = [deferred(), deferred()];
  scenario.route("/slow", async (ctx) => {
    assertEquals(ctx.session!.n, 1);
    loaded.resolve();
    await gate.promise;
    return await act(ctx) ?? "done";
  });
  const answer = browser.post("/slow", { keep: false });
  await loaded.promise;
  return { gate, answer };
}

const change = (ctx: TestContext) => void (ctx.session!.late = true);

const variants: [
  name: string,
  options: TestOptions,
  act: (ctx: TestContext) => unknown,
][] = [
  ["that changes it", {}, change],
  ["that replaces it", {}, (ctx) => {
    ctx.session = { late: true } as unknown as typeof ctx.session;
  }],
  ["that only reads it, with rolling", { rolling: true }, () => {}],
  ["that changes it, with rolling", { rolling: true }, change],
  ["that sets maxAge", {}, (ctx) => void (ctx.session!.maxAge = 60_000)],
  ["that ends it itself, later", {}, (ctx) => void (ctx.session = null)],
  ['that changes it, with onConflict "reject"', { onConflict: "reject" }, (
    ctx,
  ) => void (ctx.session!.n = 2)],
  ["that save()s it", {}, async (ctx) => {
    change(ctx);
    const code = await codeOf(ctx.session!.save());
    assert(code === undefined || code === "SESSION_ENDED", code);
  }],
  ["that save()s it and goes on", {}, async (ctx) => {
    await codeOf(ctx.session!.save());
    change(ctx);
  }],
];

describe("a session that was destroyed stays dead under a slow request", () => {
  for (const [name, options, act] of variants) {
    it(name, async () => {
      await using scenario = await startScenario(options);
      const visitor = await scenario.visit({ n: 1 });
      const { browser, sessionId } = visitor;
      const starts = collect(scenario.bridge, "sessionStart");
      const { gate, answer } = await slowRequest(scenario, visitor, act);
      await browser.post("/logout");
      assertStrictEquals(await scenario.peek(sessionId), undefined);
      gate.resolve();
      const late = await answer;
      assertEquals([late.status, late.body], [200, "done"]);
      assertFalse(mentionsSession(late), late.setCookies.join());
      assertStrictEquals(await scenario.peek(sessionId), undefined);
      assertEquals(starts, []);
      assertEquals(scenario.errors, []);
    });
  }

  it("with renew, in the last half of the cookie's life", async () => {
    await using scenario = await startScenario({ renew: true, maxAge: 2_000 });
    const visitor = await scenario.visit({ n: 1 });
    const { gate, answer } = await slowRequest(scenario, visitor, () => {});
    await pause(1_100);
    await scenario.bridge.destroy(visitor.sessionId);
    gate.resolve();
    assertFalse(mentionsSession(await answer));
    assertStrictEquals(await scenario.peek(visitor.sessionId), undefined);
  });

  it("on a store of the basic tier, whose set() would create it", async () => {
    const store = new FaultyBasicStore();
    await using scenario = await startScenario({ store, rolling: true });
    const visitor = await scenario.visit({ n: 1 });
    const { gate, answer } = await slowRequest(scenario, visitor, change);
    await visitor.browser.post("/logout");
    gate.resolve();
    assertFalse(mentionsSession(await answer));
    assertFalse(store.entries.has(visitor.sessionId));
  });

  it("when the store itself destroyed it", async () => {
    const store = new SessionStore();
    await using scenario = await startScenario({ store });
    const visitor = await scenario.visit({ n: 1 });
    const { gate, answer } = await slowRequest(scenario, visitor, change);
    assert(store.destroy(visitor.sessionId));
    gate.resolve();
    assertFalse(mentionsSession(await answer));
    assertEquals(store.size, 0);
    store.close();
  });

  it("when a transaction that the commit waits for ends it", async () => {
    await using scenario = await startScenario();
    const visitor = await scenario.visit({ n: 1 });
    const { gate, answer } = await slowRequest(scenario, visitor, change);
    const held = scenario.bridge.withSession(
      visitor.sessionId,
      async (held) => {
        gate.resolve();
        await pause(30);
        held.session = null;
      },
    );
    await held;
    const late = await answer;
    assertEquals(late.status, 200);
    assertFalse(mentionsSession(late));
    assertStrictEquals(await scenario.peek(visitor.sessionId), undefined);
  });

  it("and its ctx.withSession() finds it missing", async () => {
    await using scenario = await startScenario();
    const visitor = await scenario.visit({ n: 1 });
    const { gate, answer } = await slowRequest(
      scenario,
      visitor,
      async (ctx) => {
        change(ctx);
        return await ctx.withSession(() => "ran", "missing");
      },
    );
    await visitor.browser.post("/logout");
    gate.resolve();
    const late = await answer;
    assertEquals(late.body, "missing");
    assertFalse(mentionsSession(late));
    assertStrictEquals(await scenario.peek(visitor.sessionId), undefined);
  });
});

describe("a late answer", () => {
  it("leaves the cookie of a newer session alone", async () => {
    await using scenario = await startScenario({ rolling: true });
    const visitor = await scenario.visit({ n: 1 });
    const { browser } = visitor;
    const { gate, answer } = await slowRequest(scenario, visitor, change);
    await browser.post("/logout");
    await browser.post("/session", { json: { user: "newer" } });
    gate.resolve();
    browser.jar.apply((await answer).setCookies);
    assertEquals((await browser.get("/session")).json.session, {
      user: "newer",
    });
  });

  it("commits to the new id of a regenerated session, without a cookie", async () => {
    await using scenario = await startScenario({ rolling: true });
    scenario.route("/rotate", async (ctx) => {
      await ctx.regenerateSession();
      return ctx.sessionId;
    });
    const visitor = await scenario.visit({ n: 1 });
    const { gate, answer } = await slowRequest(scenario, visitor, change);
    const newId = (await visitor.browser.post("/rotate")).body;
    assertNotEquals(newId, visitor.sessionId);
    gate.resolve();
    const late = await answer;
    assertEquals(late.status, 200);
    assertFalse(mentionsSession(late));
    assertEquals(await scenario.peek(newId), { n: 1, late: true });
    assertStrictEquals(await scenario.peek(visitor.sessionId), undefined);
    assertEquals(visitor.browser.jar.get(KEY), newId);
  });
});

describe("termination does not wait", () => {
  const ends: [
    string,
    (scenario: Scenario, visitor: Visitor) => Promise<unknown>,
  ][] = [
    [
      "bridge.destroy()",
      (scenario, { sessionId }) => scenario.bridge.destroy(sessionId),
    ],
    ["bridge.destroyUser()", (scenario) => scenario.bridge.destroyUser("ada")],
    ["a logout over HTTP", (_, { browser }) => browser.post("/logout")],
  ];
  for (const [name, end] of ends) {
    it(`${name} acts at once; the handler rejects typed, waiters find the session missing`, async () => {
      await using scenario = await startScenario({
        user: (session) => session.user,
      });
      const visitor = await scenario.visit({ n: 1, user: "ada" });
      const { server } = await visitor.connect();
      const gate = deferred();
      const running = codeOf(server.withSession(async (sessionCtx) => {
        sessionCtx.session!.n = 2;
        await gate.promise;
        return "ran";
      }));
      const waiting = codeOf(
        scenario.bridge.withSession(visitor.sessionId, () => "ran"),
      );
      await settles(end(scenario, visitor), name, 1_000);
      assertStrictEquals(await scenario.peek(visitor.sessionId), undefined);
      assertEquals(
        await settles(waiting, "the waiting call"),
        "SESSION_MISSING",
      );
      gate.resolve();
      assertEquals(await running, "SESSION_ENDED");
      assertStrictEquals(await scenario.peek(visitor.sessionId), undefined);
    });
  }

  for (const after of ["goes on", "begins anew"]) {
    it(`a joined null ends it, although the outer handler ${after}`, async () => {
      await using scenario = await startScenario();
      const { sessionId } = await scenario.visit({ n: 1 });
      await codeOf(scenario.bridge.withSession(sessionId, async (outer) => {
        outer.session!.n = 2;
        await scenario.bridge.withSession(sessionId, (inner) => {
          inner.session = null;
        });
        if (after === "begins anew") outer.session = { n: 3 };
      }));
      assertStrictEquals(await scenario.peek(sessionId), undefined);
    });
  }

  it("two ends at once are both acknowledged only when the session is dead", async () => {
    const store = new FaultyAtomicStore();
    await using scenario = await startScenario({ store });
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    const ends = collect(scenario.bridge, "sessionEnd");
    const gate = deferred();
    store.modes = { destroy: gate.promise };
    const calls = [
      scenario.bridge.destroy(sessionId),
      scenario.bridge.destroy(sessionId),
      browser.post("/logout"),
    ];
    const alive = calls.map((call) =>
      call.then(() => store.inner.has(sessionId))
    );
    await pause(30);
    gate.resolve();
    assertEquals(await Promise.all(alive), [false, false, false]);
    assertEquals(ends.length, 1);
    assertEquals(
      (await Promise.all(calls.slice(0, 2))).filter(Boolean).length,
      1,
    );
  });

  for (
    const [operation, open] of [
      ["move", () => new FaultyAtomicStore()],
      ["set", () => new FaultyBasicStore()],
      ["destroy", () => new FaultyBasicStore()],
    ] as const
  ) {
    it(`an end during the ${operation} of a regeneration leaves neither id alive`, async () => {
      const store = open();
      await using scenario = await startScenario({ store });
      scenario.route("/rotate", async (ctx) => {
        await ctx.regenerateSession();
        return ctx.sessionId;
      });
      const { browser, sessionId, connect } = await scenario.visit({ n: 1 });
      const { server } = await connect();
      const gate = deferred();
      store.calls.length = 0;
      store.modes = { [operation]: gate.promise };
      const rotated = browser.post("/rotate");
      await until(() => store.calls.some(([name]) => name === operation));
      const destroyed = scenario.bridge.destroy(sessionId);
      await pause(10);
      gate.resolve();
      const existed = await destroyed;
      await rotated;
      const kept = store instanceof FaultyAtomicStore
        ? store.inner
        : store.entries;
      const alive = [...kept].map(([sid]) => sid);
      // either the end precedes the new id, or it must report that it ended nothing
      if (existed) {
        assertEquals(alive, []);
        assertStrictEquals(server.sessionId, undefined);
      } else assertEquals(alive.length, 1);
      assertFalse(alive.includes(sessionId));
      if (operation !== "destroy") {
        assert(existed, "the old id was still alive");
      }
    });
  }

  it("socket activity after the end brings nothing back", async () => {
    const store = new FaultyBasicStore();
    await using scenario = await startScenario({ store, touchInterval: 1 });
    const { browser, sessionId, connect } = await scenario.visit({ n: 1 });
    const { client } = await connect();
    await browser.ask(client, "get");
    await scenario.bridge.destroy(sessionId);
    await pause(5);
    assertEquals((await browser.ask(client, "add")).code, "SESSION_MISSING");
    await browser.ask(client, "whoami");
    await pause(20);
    assertFalse(store.entries.has(sessionId));
  });
});
