import process from "node:process";
import { describe, it } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertLess,
  assertLessOrEqual,
  assertStrictEquals,
} from "@std/assert";
import { SessionStore } from "@koa-io/session";
import { mentionsSession } from "../support/browser.ts";
import { KEY } from "../support/cookies.ts";
import { codeOf } from "../support/errors.ts";
import { type Scenario, startScenario } from "../support/scenario.ts";
import { FaultyAtomicStore } from "../support/stores/faulty_stores.ts";
import { collect, deferred, once, pause, until } from "../support/wait.ts";

/** Why a session ended, and how many ms after `since`. */
async function endOf(
  scenario: Scenario,
  sessionId: string,
  since: number = Date.now(),
): Promise<[reason: string, after: number]> {
  const { reason, at } = await scenario.ended(sessionId);
  return [reason, at - since];
}

describe("maxAge as idle time", () => {
  it("ends the session within a second of its time, with reason expired, and sends its sockets the end", async () => {
    await using scenario = await startScenario({
      maxAge: 500,
      onSessionEnd: "disconnect",
      autoCleanup: false,
    });
    const since = Date.now();
    const { browser, sessionId, connect } = await scenario.visit();
    const { client } = await connect();
    const closed = once(client, "disconnect");
    const [reason, after] = await endOf(scenario, sessionId, since);
    assertEquals(reason, "expired");
    assertGreaterOrEqual(after, 490);
    assertLess(after, 1_700);
    assertEquals(await browser.event(client, "session:end"), [{
      reason: "expired",
    }]);
    assertEquals((await closed)[0], "io server disconnect");
    assertStrictEquals(await scenario.peek(sessionId), undefined);
  });

  it("ends exactly once, and a later request begins another session", async () => {
    await using scenario = await startScenario({ maxAge: 300 });
    const ends = collect(scenario.bridge, "sessionEnd");
    const { browser, sessionId, connect } = await scenario.visit({
      user: "ada",
    });
    await connect();
    await endOf(scenario, sessionId);
    const { session } = (await browser.get("/session")).json;
    assertEquals(session, {});
    await pause(50);
    assertEquals(ends.length, 1);
  });

  it("ends a handler that was running, typed, and writes nothing of it", async () => {
    await using scenario = await startScenario({
      maxAge: 600,
      touchInterval: false,
    });
    const { sessionId, connect } = await scenario.visit();
    const { server } = await connect();
    const gate = deferred();
    const running = codeOf(server.withSession(async ({ session }) => {
      session!.n = 9;
      await gate.promise;
    }));
    await endOf(scenario, sessionId);
    gate.resolve();
    assertEquals(await running, "SESSION_ENDED");
    assertStrictEquals(await scenario.peek(sessionId), undefined);
  });

  it("beyond 2^31-1 ms fires nothing at once", async () => {
    const warned = collect<[Error]>(process, "warning");
    const days = 86_400_000;
    await using scenario = await startScenario({
      maxAge: 60 * days,
      absoluteMaxAge: 90 * days,
      touchInterval: 50 * days,
      clientMaxAge: 800 * days,
    });
    const ends = collect(scenario.bridge, "sessionEnd");
    const { browser, connect } = await scenario.visit();
    const { client } = await connect();
    assertEquals(await browser.ask(client, "add"), 1);
    await pause(60);
    assertEquals(ends, []);
    assertEquals(await browser.ask(client, "add"), 2);
    assertEquals(warned.filter(([{ name }]) => /Timeout/.test(name)), []);
  });
});

describe("touchInterval", () => {
  it("extends the record by socket activity, not the cookie", async () => {
    const store = new SessionStore();
    await using scenario = await startScenario({
      store,
      maxAge: 800,
      touchInterval: 100,
    });
    const { browser, sessionId, connect } = await scenario.visit();
    const { client } = await connect();
    const cookieEnd = store.get(sessionId)!._expire as number;
    while (Date.now() < cookieEnd + 300) {
      await browser.ask(client, "whoami");
      await pause(50);
    }
    assert(await scenario.peek(sessionId));
    assertEquals(await browser.ask(client, "add"), 1);
    const answer = await browser.get("/session");
    assertEquals(answer.json.session, { n: 1 });
    assert(!mentionsSession(answer));
    store.close();
  });

  it("lets koa-session's renew go on renewing the cookie of a session that lives by its sockets", async () => {
    await using scenario = await startScenario({
      maxAge: 1_000,
      touchInterval: 50,
      renew: true,
    });
    const { browser, sessionId, connect } = await scenario.visit();
    const { client } = await connect();
    for (let round = 0; round < 2; round++) {
      const end = Date.now() + 700;
      while (Date.now() < end) {
        await browser.ask(client, "add");
        await pause(50);
      }
      const answer = await browser.get("/session");
      assertEquals(answer.json.sessionId, sessionId);
      assertEquals(answer.cookie(KEY)?.value, sessionId, `round ${round}`);
    }
  });

  it("limits how often the store is called to extend", async () => {
    const store = new FaultyAtomicStore();
    await using scenario = await startScenario({
      store,
      maxAge: 60_000,
      touchInterval: 200,
    });
    const { browser, connect } = await scenario.visit();
    const { client } = await connect();
    const since = Date.now();
    store.calls.length = 0;
    for (let i = 0; i < 30; i++) await browser.ask(client, "whoami");
    await pause(250);
    await browser.ask(client, "whoami");
    await pause(20);
    const extended = store.calls.filter(([name]) => name === "extend").length;
    assertGreater(extended, 0);
    assertLessOrEqual(extended, Math.ceil((Date.now() - since) / 200) + 1);
  });

  it("counts application events, not pings", async () => {
    await using scenario = await startScenario(
      { maxAge: 600, touchInterval: 10 },
      { io: { pingInterval: 40, pingTimeout: 1_000 } },
    );
    const since = Date.now();
    const { sessionId, connect } = await scenario.visit();
    await connect();
    const [reason, after] = await endOf(scenario, sessionId, since);
    assertEquals(reason, "expired");
    assertLess(after, 1_800);
  });

  it("set to false does not extend the session", async () => {
    await using scenario = await startScenario({
      maxAge: 500,
      touchInterval: false,
    });
    const { browser, sessionId, connect } = await scenario.visit();
    const { client } = await connect();
    const ended = endOf(scenario, sessionId);
    let over = false;
    ended.then(() => over = true);
    while (!over) {
      await browser.ask(client, "whoami");
      await pause(20);
    }
    const [reason, after] = await ended;
    assertEquals(reason, "expired");
    assertLess(after, 1_700);
  });
});

describe("a socket's write", () => {
  it("keeps the expiry that koa-session looks at true", async () => {
    const store = new SessionStore();
    await using scenario = await startScenario({ store, maxAge: 60_000 });
    const { browser, sessionId, connect } = await scenario.visit();
    const { client } = await connect();
    const before = store.get(sessionId)!;
    await browser.ask(client, "merge", { a: 1 });
    const after = store.get(sessionId)!;
    assertEquals(after._maxAge, 60_000);
    assertEquals(after._expire, before._expire);
    assertEquals(after.a, 1);
    store.close();
  });

  it('keeps a session of maxAge "session" one', async () => {
    const store = new SessionStore();
    await using scenario = await startScenario({ store, maxAge: "session" });
    scenario.route("/save", async (ctx) => {
      ctx.session!.saved = true;
      await ctx.session!.save();
      ctx.session!.again = true;
      await ctx.session!.save();
    });
    const { browser, sessionId, connect } = await scenario.visit();
    const { client } = await connect();
    await browser.ask(client, "merge", { a: 1 });
    assertStrictEquals(store.get(sessionId)!._session, true);
    const answer = await browser.post("/save");
    const cookie = answer.setCookies.findLast(({ name }) => name === KEY)!;
    assertEquals(cookie.value, sessionId);
    assertStrictEquals(cookie.attributes.expires, undefined);
    assertStrictEquals(cookie.attributes["max-age"], undefined);
    const { _session, _expire } = store.get(sessionId)!;
    assertEquals([_session, _expire], [true, undefined]);
    assertEquals(await scenario.peek(sessionId), {
      n: 0,
      a: 1,
      saved: true,
      again: true,
    });
    store.close();
  });
});

describe("absoluteMaxAge", () => {
  it("ends the session however active it is", async () => {
    await using scenario = await startScenario({
      maxAge: 60_000,
      absoluteMaxAge: 700,
      touchInterval: 10,
      rolling: true,
    });
    const since = Date.now();
    const { browser, sessionId, connect } = await scenario.visit();
    const { client } = await connect();
    let end: [string, number] | undefined;
    endOf(scenario, sessionId, since).then((found) => end = found);
    while (!end && Date.now() < since + 3_000) {
      await browser.ask(client, "add");
      await browser.get("/session", { keep: false });
      await pause(20);
    }
    assertEquals(end?.[0], "expired");
    assertGreaterOrEqual(end![1], 690);
    assertLess(end![1], 1_900);
    assertStrictEquals(await scenario.peek(sessionId), undefined);
  });

  it("is not restarted by a new id", async () => {
    await using scenario = await startScenario({ absoluteMaxAge: 700 });
    scenario.route("/rotate", async (ctx) => {
      await ctx.regenerateSession();
      return ctx.sessionId;
    });
    const since = Date.now();
    const { browser, connect } = await scenario.visit();
    await connect();
    await pause(400);
    const newId = (await browser.post("/rotate")).body;
    const [reason, after] = await endOf(scenario, newId, since);
    assertEquals(reason, "expired");
    assertLess(after, 1_900);
  });
});

describe("bridge.close()", () => {
  it("leaves no timer behind that keeps a process alive", async () => {
    const timers = new Set<unknown>();
    const { setTimeout: set, clearTimeout: clear } = globalThis;
    const patched = Object.assign(
      (act: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
        const timer = set(() => {
          timers.delete(timer);
          act(...args);
        }, ms);
        timers.add(timer);
        return timer;
      },
      set,
    );
    globalThis.setTimeout = patched as unknown as typeof set;
    globalThis.clearTimeout = ((timer?: unknown) => {
      timers.delete(timer);
      clear(timer as never);
    }) as typeof clear;
    try {
      const scenario = await startScenario({
        maxAge: 60_000,
        absoluteMaxAge: 90_000,
        onSessionEnd: { disconnectAfter: 30_000 },
      });
      const { browser, sessionId, connect } = await scenario.visit();
      const { client } = await connect();
      await browser.ask(client, "add");
      await scenario.bridge.destroy(sessionId);
      await scenario.close();
      // the WebSocket library's own go as soon as its connections are closed
      await until(
        () =>
          ![...timers].some((timer) =>
            (timer as { hasRef?(): boolean }).hasRef?.() ?? true
          ),
        "every timer gone",
        2_000,
      );
    } finally {
      globalThis.setTimeout = set;
      globalThis.clearTimeout = clear;
    }
  });
});
