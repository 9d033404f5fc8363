import { describe, it } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertNotEquals,
  assertStrictEquals,
} from "@std/assert";
import type { TestContext } from "../support/app.ts";
import { CLIENT_KEY, CookieJar, KEY } from "../support/cookies.ts";
import {
  connectPair,
  type Scenario,
  startScenario,
} from "../support/scenario.ts";
import type { TestOptions } from "../support/server.ts";
import { collect, deferred, once, pause, settles } from "../support/wait.ts";

const ways: [name: string, act: (ctx: TestContext) => Promise<unknown>][] = [
  ["ctx.regenerateSession()", (ctx) => ctx.regenerateSession()],
  [
    'ctx.regenerateSession({ sockets: "follow" })',
    (ctx) => ctx.regenerateSession({ sockets: "follow" }),
  ],
  [
    "ctx.session.regenerate()",
    (ctx) => ctx.session!.regenerate() as Promise<unknown>,
  ],
];

/** A scenario whose `/rotate` regenerates and answers the ids as they stand right after. */
async function startRotating(
  act: (ctx: TestContext) => Promise<unknown>,
  options: TestOptions = {},
): Promise<Scenario> {
  const scenario = await startScenario(options);
  scenario.route("/rotate", async (ctx) => {
    await act(ctx);
    return {
      sessionId: ctx.sessionId,
      externalKey: ctx.session!.externalKey,
      clientId: ctx.clientId,
      session: ctx.session,
    };
  });
  return scenario;
}

for (const [name, act] of ways) {
  describe(name, () => {
    it("gives the same data a new id, and all ids agree at once", async () => {
      await using scenario = await startRotating(act);
      const { browser, sessionId, clientId, connect } = await scenario.visit({
        user: "ada",
      });
      const { server } = await connect();
      let seen: unknown;
      scenario.route("/look", async (ctx) => {
        await act(ctx);
        seen = server.sessionId;
        return { sessionId: ctx.sessionId, key: ctx.session!.externalKey };
      });
      const first = (await browser.post("/rotate")).json;
      assertNotEquals(first.sessionId, sessionId);
      assertEquals(first.externalKey, first.sessionId);
      assertEquals(first.clientId, clientId);
      assertEquals(first.session, { user: "ada" });
      assertEquals(browser.jar.get(KEY), first.sessionId);
      assertEquals(server.sessionId, first.sessionId);
      const second = (await browser.post("/look")).json;
      assertNotEquals(second.sessionId, first.sessionId);
      assertEquals(second.key, second.sessionId);
      assertEquals(seen, second.sessionId);
      assertEquals((await browser.get("/session")).json, {
        session: { user: "ada" },
        sessionId: second.sessionId,
        clientId,
      });
      assertEquals(
        await scenario.bridge.sessionIdOf(clientId),
        second.sessionId,
      );
      assertEquals(
        await scenario.bridge.clientIdOf(second.sessionId),
        clientId,
      );
    });

    it("leaves the old id dead", async () => {
      await using scenario = await startRotating(act);
      const { browser, sessionId } = await scenario.visit({ user: "ada" });
      // a browser that has the session cookie alone, as after a fixation
      const stolen = new CookieJar(
        [KEY, `${KEY}.sig`].map((name) => [name, browser.jar.get(name)!]),
      );
      await browser.post("/rotate");
      assertStrictEquals(await scenario.peek(sessionId), undefined);
      assertEquals(await scenario.bridge.destroy(sessionId), false);
      assertStrictEquals(
        await scenario.bridge.clientIdOf(sessionId) ?? undefined,
        undefined,
      );
      const thief = scenario.browser();
      const answer = await thief.get("/session", { jar: stolen, keep: false });
      assertEquals(answer.json.session, {});
    });

    it("emits rotated: no socket is disconnected, no client is sent an end", async () => {
      await using scenario = await startRotating(act, {
        onSessionEnd: "disconnect",
      });
      const { browser, sessionId, clientId, connect } = await scenario.visit();
      const { client, server } = await connect();
      const starts = collect(scenario.bridge, "sessionStart");
      const ends = collect(scenario.bridge, "sessionEnd");
      const newId = (await browser.post("/rotate")).json.sessionId;
      await browser.event(client, "session:rotated");
      assertEquals(ends, [[{
        clientId,
        sessionId,
        reason: "rotated",
        local: true,
      }]]);
      assertEquals(starts, [[{
        clientId,
        sessionId: newId,
        cause: "rotated",
        local: true,
      }]]);
      assert(client.connected && server.connected);
      const told = browser.received(client);
      assertEquals(told.filter(([event]) => event === "session:end"), []);
      assert(!JSON.stringify(told).includes(newId), "a client saw an id");
      assertEquals(await browser.ask(client, "add"), 1);
    });

    it("moves the rooms", async () => {
      await using scenario = await startRotating(act, {
        user: (session) => session.user,
      });
      const { browser, sessionId, clientId, connect } = await scenario.visit({
        user: "ada",
      });
      const { client } = await connect();
      const newId = (await browser.post("/rotate")).json.sessionId;
      scenario.bridge.toSession(sessionId).emit("old");
      scenario.bridge.toSession(newId).emit("new");
      scenario.bridge.toClient(clientId).emit("client");
      scenario.bridge.toUser("ada").emit("user");
      await browser.event(client, "user");
      assertEquals(
        browser.received(client).map(([event]) => event)
          .filter((event) => !event.startsWith("session:")),
        ["new", "client", "user"],
      );
    });
  });
}

describe("ctx.regenerateSession()", () => {
  it("carries pending changes to the new id", async () => {
    await using scenario = await startRotating(async (ctx) => {
      ctx.session!.before = true;
      await ctx.regenerateSession();
      ctx.session!.after = true;
    });
    const { browser } = await scenario.visit({ n: 1 });
    const { sessionId } = (await browser.post("/rotate")).json;
    assertEquals(await scenario.peek(sessionId), {
      n: 1,
      before: true,
      after: true,
    });
  });

  it("waits its turn while a transaction runs, and loses nothing of it", async () => {
    const asked = deferred();
    await using scenario = await startRotating(async (ctx) => {
      const done = ctx.regenerateSession();
      asked.resolve();
      await done;
    });
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    const gate = deferred();
    let open = true;
    const held = scenario.bridge.withSession(sessionId, async ({ session }) => {
      await gate.promise;
      session!.n = 2;
      open = false;
    });
    const rotated = browser.post("/rotate");
    await asked.promise;
    await pause(30);
    assert(open && await scenario.peek(sessionId));
    gate.resolve();
    await held;
    const { sessionId: newId } = (await settles(rotated)).json;
    assertEquals(await scenario.peek(newId), { n: 2 });
  });

  it("keeps the session when it is called twice in one request", async () => {
    await using scenario = await startRotating(async (ctx) => {
      await ctx.regenerateSession();
      await ctx.regenerateSession();
    });
    const { browser } = await scenario.visit({ n: 1 });
    const { sessionId } = (await browser.post("/rotate")).json;
    assertEquals(browser.jar.get(KEY), sessionId);
    assertEquals((await browser.get("/session")).json.session, { n: 1 });
  });
});

describe('ctx.regenerateSession({ sockets: "leave" })', () => {
  const leave = (ctx: TestContext) =>
    ctx.regenerateSession({ sockets: "leave" });

  it("gives the client a new client id, and leaves older sockets without a session", async () => {
    await using scenario = await startRotating(leave);
    const { browser, sessionId, clientId, connect } = await scenario.visit({
      user: "ada",
    });
    const { client, server } = await connect();
    const after = (await browser.post("/rotate")).json;
    assertNotEquals(after.sessionId, sessionId);
    assertNotEquals(after.clientId, clientId);
    assertEquals(after.session, { user: "ada" });
    assertEquals(browser.jar.get(CLIENT_KEY), after.clientId);
    assertEquals(browser.jar.get(KEY), after.sessionId);
    assertStrictEquals(server.sessionId, undefined);
    assertEquals((await browser.ask(client, "get")).code, "SESSION_MISSING");
    assertEquals((await browser.get("/session")).json, {
      session: { user: "ada" },
      sessionId: after.sessionId,
      clientId: after.clientId,
    });
    const line = await connectPair(scenario, browser);
    assertEquals(line.server.sessionId, after.sessionId);
    assertEquals(line.server.clientId, after.clientId);
    assertStrictEquals(server.sessionId, undefined);
  });

  it("takes older sockets out of the session's and the user's rooms", async () => {
    await using scenario = await startRotating(leave, {
      user: (session) => session.user,
    });
    const { browser, sessionId, clientId, connect } = await scenario.visit({
      user: "ada",
    });
    const { client } = await connect();
    const after = (await browser.post("/rotate")).json;
    for (const id of [sessionId, after.sessionId]) {
      scenario.bridge.toSession(id).emit("secret");
    }
    scenario.bridge.toUser("ada").emit("secret");
    scenario.bridge.toClient(clientId).emit("secret");
    scenario.bridge.toClient(after.clientId).emit("secret");
    await browser.ask(client, "whoami");
    assertEquals(
      browser.received(client).filter(([event]) => event === "secret"),
      [],
    );
  });

  it("emits rotated with both ids, and informs the sockets that were left", async () => {
    await using scenario = await startRotating(leave);
    const { browser, sessionId, clientId, connect } = await scenario.visit();
    const { client } = await connect();
    const started = once<[Record<string, unknown>]>(
      scenario.bridge,
      "sessionStart",
    );
    const ended = once<[Record<string, unknown>]>(
      scenario.bridge,
      "sessionEnd",
    );
    const after = (await browser.post("/rotate")).json;
    assertEquals(await ended, [{
      clientId,
      sessionId,
      reason: "rotated",
      local: true,
    }]);
    assertEquals(await started, [{
      clientId: after.clientId,
      sessionId: after.sessionId,
      cause: "rotated",
      local: true,
    }]);
    assertEquals(await browser.event(client, "session:rotated"), [{
      sockets: "leave",
    }]);
    assert(client.connected);
  });
});
