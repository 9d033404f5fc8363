import { describe, it } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertFalse,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { SessionStore } from "@koa-io/session";
import { KEY } from "../support/cookies.ts";
import { increment } from "../support/routes.ts";
import { startScenario } from "../support/scenario.ts";
import { deferred, once, pause, settles } from "../support/wait.ts";

describe("withSession() as one queue", () => {
  it("loses no increment of sockets, contexts and the bridge at once", async () => {
    await using scenario = await startScenario();
    scenario.route("/add", (ctx) => ctx.withSession(increment));
    const { browser, sessionId, connect } = await scenario.visit();
    const lines = [await connect(), await connect()];
    await Promise.all(
      Array.from({ length: 90 }, (_, i) =>
        [
          () => browser.post("/add", { keep: false }),
          () => browser.ask(lines[i % 2]!.client, "add"),
          () => scenario.bridge.withSession(sessionId, increment),
        ][i % 3]!()),
    );
    assertEquals((await scenario.peek(sessionId))?.n, 90);
  });

  it("serves socket and bridge in order of arrival", async () => {
    await using scenario = await startScenario();
    const { sessionId, connect } = await scenario.visit();
    const { server } = await connect();
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 10 }, (_, i) => {
        const visit = async () => {
          await pause(i % 3);
          order.push(i);
        };
        return i % 2
          ? server.withSession(visit)
          : scenario.bridge.withSession(sessionId, visit);
      }),
    );
    assertEquals(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("lets two sessions run side by side", async () => {
    await using scenario = await startScenario();
    const [a, b] = [await scenario.visit(), await scenario.visit()];
    const gate = deferred();
    const held = scenario.bridge.withSession(a.sessionId, () => gate.promise);
    await settles(scenario.bridge.withSession(b.sessionId, increment));
    gate.resolve();
    await held;
  });

  it("runs a waiting call on the new id when the session is regenerated during the wait", async () => {
    await using scenario = await startScenario();
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    const asked = deferred();
    scenario.route("/rotate", async (ctx) => {
      const rotated = ctx.regenerateSession();
      asked.resolve();
      await rotated;
      return ctx.sessionId;
    });
    const gate = deferred();
    const held = scenario.bridge.withSession(sessionId, async (sessionCtx) => {
      await gate.promise;
      sessionCtx.session!.held = true;
    });
    const rotated = browser.post("/rotate");
    await asked.promise;
    await pause(20);
    const waiting = scenario.bridge.withSession(sessionId, (sessionCtx) => {
      sessionCtx.session!.late = true;
      return sessionCtx.sessionId;
    });
    gate.resolve();
    await held;
    const newId = (await rotated).body;
    assert(newId !== sessionId);
    assertEquals(await waiting, newId);
    assertEquals(await scenario.peek(newId), { n: 1, held: true, late: true });
    assertStrictEquals(await scenario.peek(sessionId), undefined);
  });
});

describe("withSession()'s handler", () => {
  it("changes nothing when it throws, nested data included", async () => {
    await using scenario = await startScenario();
    const before = { n: 1, nested: { a: 1 }, list: [1, 2] };
    const { sessionId, connect } = await scenario.visit(
      structuredClone(before),
    );
    const { server } = await connect();
    await assertRejects(
      () =>
        server.withSession(async ({ session }) => {
          session!.nested!.a = 2;
          session!.list!.length = 0;
          delete session!.n;
          await Promise.resolve();
          throw new RangeError("mine");
        }),
      RangeError,
      "mine",
    );
    assertEquals(await scenario.peek(sessionId), before);
    await server.withSession(({ session }) => assertEquals(session, before));
  });

  it("sees no bookkeeping, and loses none by replacing the session", async () => {
    const store = new SessionStore();
    await using scenario = await startScenario({ store, maxAge: 60_000 });
    const { browser, sessionId, connect } = await scenario.visit({ n: 1 });
    const { server } = await connect();
    const bookkeeping = () => {
      const { _expire, _maxAge } = store.get(sessionId)!;
      return { _expire, _maxAge };
    };
    const before = bookkeeping();
    assertEquals(before._maxAge, 60_000);
    await server.withSession((sessionCtx) => {
      assertEquals(Object.keys(sessionCtx.session!), ["n"]);
      sessionCtx.session = { fresh: true };
    });
    assertEquals(bookkeeping(), before);
    assertEquals((await browser.get("/session")).json.session, { fresh: true });
    store.close();
  });

  it("ends the session by null, and is not written when it changes nothing", async () => {
    const store = new SessionStore();
    await using scenario = await startScenario({ store });
    const { sessionId, connect } = await scenario.visit({
      n: 1,
      nested: { a: 1 },
    });
    const { server } = await connect();
    let writes = 0;
    store.on("set", () => writes++);
    await server.withSession(({ session }) => {
      session!.nested = { a: 1 };
    });
    assertEquals(writes, 0);
    const ended = once(scenario.bridge, "sessionEnd");
    await server.withSession((sessionCtx) => {
      sessionCtx.session = null;
    });
    assertFalse(store.has(sessionId));
    const [event] = await ended as [Record<string, unknown>];
    assertEquals(event.reason, "logout");
    assertEquals(event.sessionId, sessionId);
    store.close();
  });

  for (
    const name of [
      "_mine",
      "maxAge",
      "isNew",
      "length",
      "populated",
      "externalKey",
    ]
  ) {
    it(`is refused with a TypeError when it sets ${name}`, async () => {
      await using scenario = await startScenario();
      const { sessionId } = await scenario.visit({ n: 1 });
      const error = await assertRejects(
        () =>
          scenario.bridge.withSession(sessionId, ({ session }) => {
            session!.n = 2;
            session![name] = 1;
          }),
        TypeError,
      );
      assert(error.message.includes(name), error.message);
      assertEquals(await scenario.peek(sessionId), { n: 1 });
    });
  }

  it("is refused when it leaves cyclic data or a BigInt, and nothing is written", async () => {
    await using scenario = await startScenario();
    const { sessionId } = await scenario.visit({ n: 1 });
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    for (const value of [cyclic, 1n, { deep: [2n] }]) {
      await assertRejects(
        () =>
          scenario.bridge.withSession(sessionId, ({ session }) => {
            session!.bad = value;
          }),
        TypeError,
      );
    }
    assertEquals(await scenario.peek(sessionId), { n: 1 });
  });

  it("finds a Date again as a string", async () => {
    await using scenario = await startScenario({ key: KEY });
    const { sessionId } = await scenario.visit();
    const date = new Date(0);
    await scenario.bridge.withSession(sessionId, ({ session }) => {
      session!.at = date;
    });
    const at = await scenario.bridge.withSession(
      sessionId,
      ({ session }) => session!.at,
    );
    assertEquals(at, date.toISOString());
  });
});
