/** Listeners of the bridge's events that throw. */
import { assert, assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { KEY } from "../support/cookies.ts";
import { startScenario } from "../support/scenario.ts";
import { closeServers } from "../support/server.ts";
import { until } from "../support/wait.ts";

const boom = () => {
  throw new Error("of a listener");
};

describe("a listener of the bridge that throws", () => {
  afterEach(closeServers);

  it("breaks neither a login, a new id nor a logout", async () => {
    const scenario = await startScenario();
    const errors: string[] = [];
    scenario.bridge.on("error", ({ message }) => errors.push(message));
    scenario.bridge.on("sessionStart", boom);
    scenario.bridge.on("sessionEnd", boom);
    scenario.route("/regenerate", (ctx) => ctx.regenerateSession());
    const { browser, sessionId, connect } = await scenario.visit({ n: 1 });
    assert(sessionId);
    const { client } = await connect();
    const answer = await browser.get("/regenerate");
    assertEquals(answer.status, 200);
    assert(answer.cookie(KEY));
    await browser.event(client, "session:rotated");
    const now = (await browser.get("/session")).json;
    assertEquals(now.session, { n: 1 });
    const logout = await browser.post("/logout");
    assertEquals(logout.cookie(KEY)?.value, "");
    await browser.event(client, "session:end");
    assertEquals(await scenario.peek(now.sessionId), undefined);
    assertEquals(errors, Array(4).fill("of a listener"));
  });

  it("does not keep a session open that ended under a transaction", async () => {
    const scenario = await startScenario({ lockTimeout: 60_000 });
    scenario.bridge.on("error", () => {});
    const { sessionId } = await scenario.visit({ n: 1 });
    scenario.bridge.on("sessionEnd", boom);
    const codes: string[] = [];
    let entered = () => {};
    const inside = new Promise<void>((resolve) => entered = resolve);
    const working = scenario.bridge.withSession(sessionId, async () => {
      entered();
      await scenario.ended(sessionId);
    }).catch(({ code }) => codes.push(code));
    const waiting = scenario.bridge.withSession(sessionId, () => {})
      .catch(({ code }) => codes.push(code));
    await inside;
    assertEquals(await scenario.bridge.destroy(sessionId), true);
    await waiting;
    await working;
    assertEquals(codes.length, 2);
  });

  it("rethrows where there is no listener for errors, after all work is done", async () => {
    const scenario = await startScenario();
    const { sessionId } = await scenario.visit({ n: 1 });
    scenario.bridge.on("sessionEnd", boom);
    // the test runners take every uncaught exception for their own
    const later: (() => void)[] = [];
    const { queueMicrotask } = globalThis;
    globalThis.queueMicrotask = (callback) => void later.push(callback);
    try {
      assertEquals(await scenario.bridge.destroy(sessionId), true);
    } finally {
      globalThis.queueMicrotask = queueMicrotask;
    }
    assertEquals(await scenario.peek(sessionId), undefined);
    scenario.bridge.off("sessionEnd", boom);
    const thrown = later.flatMap((callback) => {
      try {
        callback();
        return [];
      } catch (error) {
        return [(error as Error).message];
      }
    });
    assertEquals(thrown, ["of a listener"]);
  });

  it("does not stop the expiry of sessions", async () => {
    const scenario = await startScenario({ maxAge: 300 });
    scenario.bridge.on("error", () => {});
    const { sessionId } = await scenario.visit({ n: 1 });
    const other = await scenario.visit({ n: 2 });
    scenario.bridge.on("sessionEnd", boom);
    // the listener that the scenario has is before the one that throws
    assertEquals((await scenario.ended(sessionId)).reason, "expired");
    assertEquals((await scenario.ended(other.sessionId)).reason, "expired");
    await until(() => scenario.bridge.stats().sessions === 0, "the end");
  });

  it("keeps no socket connected whose session ended, and no event from the bridge", async () => {
    const scenario = await startScenario({ onSessionEnd: "disconnect" });
    const errors: string[] = [];
    scenario.bridge.on("error", ({ message }) => errors.push(message));
    const { browser, sessionId, connect } = await scenario.visit({ n: 1 });
    const first = await connect();
    const second = await connect();
    first.server.on("disconnect", boom);
    assertEquals(await scenario.bridge.destroy(sessionId), true);
    assertEquals((await scenario.ended(sessionId)).reason, "revoked");
    assertEquals(await browser.event(second.client, "session:end"), [
      { reason: "revoked" },
    ]);
    await until(() => !second.client.connected, "the second socket's end");
    assertEquals(errors, ["of a listener"]);
  });
});
