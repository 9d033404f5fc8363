/** Listeners of the bridge's events that throw. */
import { assert, assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { closeServers, KEY, startScene, until } from "../support/issue3.ts";

const boom = () => {
  throw new Error("of a listener");
};

describe("a listener of the bridge that throws", () => {
  afterEach(closeServers);

  it("breaks neither a login, a new id nor a logout", async () => {
    const scene = await startScene();
    const errors: string[] = [];
    scene.bridge.on("error", ({ message }) => errors.push(message));
    scene.bridge.on("sessionStart", boom);
    scene.bridge.on("sessionEnd", boom);
    scene.route("/regenerate", (ctx) => ctx.regenerateSession());
    const { browser, sessionId, connect } = await scene.visit({ n: 1 });
    assert(sessionId);
    const { client } = await connect();
    const answer = await browser.get("/regenerate");
    assertEquals(answer.status, 200);
    assert(answer.cookie(KEY));
    await browser.heard(client, "session:rotated");
    const now = (await browser.get("/session")).json;
    assertEquals(now.session, { n: 1 });
    const logout = await browser.post("/logout");
    assertEquals(logout.cookie(KEY)?.value, "");
    await browser.heard(client, "session:end");
    assertEquals(await scene.peek(now.sessionId), undefined);
    assertEquals(errors, Array(4).fill("of a listener"));
  });

  it("does not keep a session open that ended under a transaction", async () => {
    const scene = await startScene({ lockTimeout: 60_000 });
    scene.bridge.on("error", () => {});
    const { sessionId } = await scene.visit({ n: 1 });
    scene.bridge.on("sessionEnd", boom);
    const codes: string[] = [];
    let entered = () => {};
    const inside = new Promise<void>((resolve) => entered = resolve);
    const working = scene.bridge.withSession(sessionId, async () => {
      entered();
      await scene.ended(sessionId);
    }).catch(({ code }) => codes.push(code));
    const waiting = scene.bridge.withSession(sessionId, () => {})
      .catch(({ code }) => codes.push(code));
    await inside;
    assertEquals(await scene.bridge.destroy(sessionId), true);
    await waiting;
    await working;
    assertEquals(codes.length, 2);
  });

  it("throws on where nobody listens to errors, once all is done", async () => {
    const scene = await startScene();
    const { sessionId } = await scene.visit({ n: 1 });
    scene.bridge.on("sessionEnd", boom);
    // the test runners take every uncaught exception for their own
    const later: (() => void)[] = [];
    const { queueMicrotask } = globalThis;
    globalThis.queueMicrotask = (callback) => void later.push(callback);
    try {
      assertEquals(await scene.bridge.destroy(sessionId), true);
    } finally {
      globalThis.queueMicrotask = queueMicrotask;
    }
    assertEquals(await scene.peek(sessionId), undefined);
    scene.bridge.off("sessionEnd", boom);
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

  it("does not stop the clock of sessions", async () => {
    const scene = await startScene({ maxAge: 300 });
    scene.bridge.on("error", () => {});
    const { sessionId } = await scene.visit({ n: 1 });
    const other = await scene.visit({ n: 2 });
    scene.bridge.on("sessionEnd", boom);
    // the listener that the scene has is before the one that throws
    assertEquals((await scene.ended(sessionId)).reason, "expired");
    assertEquals((await scene.ended(other.sessionId)).reason, "expired");
    await until(() => scene.bridge.stats().sessions === 0, "the end");
  });
});
