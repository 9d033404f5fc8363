import { describe, it as test } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertFalse,
  assertStrictEquals,
} from "@std/assert";
import {
  type Browser,
  clearingIntervals,
  type ClientSocket,
  once,
  type Scene,
  type ServerConfig,
  serverEnd,
  startScene,
  type TestOptions,
  type TestSocket,
  type Visitor,
} from "../support/issue3.ts";

/** Recovery as Socket.IO documents it, with its own defaults. */
const recovering: ServerConfig = {
  io: { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } },
};

const it = (name: string, act: () => Promise<void>) =>
  test(name, () => clearingIntervals(act));

/** What a client hands in to be recovered. */
function ticket(client: ClientSocket): { pid: string; offset: string } {
  const { _pid, _lastOffset } = client as unknown as {
    _pid?: string;
    _lastOffset?: string;
  };
  assert(_pid && _lastOffset, "the client has nothing to recover with");
  return { pid: _pid, offset: _lastOffset };
}

/** Connects, hears one packet (only then a client can be recovered) and loses its connection. */
async function loseConnection(
  scene: Scene,
  { browser, connect }: Visitor,
): Promise<ClientSocket> {
  const { client, server } = await connect();
  scene.io.emit("first");
  await browser.heard(client, "first");
  const gone = once(server, "disconnect");
  client.io.engine.close();
  await gone;
  return client;
}

/** Connects again and answers once everything that it missed has come. */
async function comeBack(
  scene: Scene,
  browser: Browser,
  client: ClientSocket,
): Promise<TestSocket> {
  await browser.open(client);
  await browser.ask(client, "whoami");
  return serverEnd(scene, client);
}

function missed(browser: Browser, client: ClientSocket): string[] {
  return browser.received(client).map(([event]) => event)
    .filter((event) => event.startsWith("missed"));
}

for (const onSessionEnd of ["keep", "disconnect"] as const) {
  describe(`connectionStateRecovery with onSessionEnd "${onSessionEnd}"`, () => {
    const options: TestOptions = { onSessionEnd };

    it("recovers a live client: its packets, its withSession and its rooms", async () => {
      await using scene = await startScene(options, recovering);
      const visitor = await scene.visit({ n: 1 });
      const { browser, sessionId, clientId } = visitor;
      const client = await loseConnection(scene, visitor);
      scene.io.emit("missed by all");
      scene.bridge.toSession(sessionId).emit("missed by the session");
      const server = await comeBack(scene, browser, client);
      assert(client.recovered && server.recovered);
      assertEquals(missed(browser, client), [
        "missed by all",
        "missed by the session",
      ]);
      assertEquals(await browser.ask(client, "whoami"), {
        sessionId,
        clientId,
      });
      assertEquals(await browser.ask(client, "add"), 2);
      scene.bridge.toSession(sessionId).emit("now");
      await browser.heard(client, "now");
    });

    it("gives a revoked client neither its state nor what it missed", async () => {
      await using scene = await startScene(options, recovering);
      const visitor = await scene.visit({ n: 1 });
      const { browser, sessionId } = visitor;
      const client = await loseConnection(scene, visitor);
      scene.bridge.toSession(sessionId).emit("missed by the session");
      await scene.bridge.destroy(sessionId);
      scene.io.emit("missed by all");
      const server = await comeBack(scene, browser, client);
      assertFalse(client.recovered || server.recovered);
      assertEquals(missed(browser, client), []);
      assertStrictEquals(server.sessionId, undefined);
      assertEquals((await browser.ask(client, "get")).code, "SESSION_MISSING");
    });

    it("ends a recovered client with its session as any other", async () => {
      await using scene = await startScene(options, recovering);
      const visitor = await scene.visit({ n: 1 });
      const { browser, sessionId } = visitor;
      const client = await loseConnection(scene, visitor);
      const server = await comeBack(scene, browser, client);
      assert(server.recovered);
      const heard = onSessionEnd === "disconnect"
        ? once(client, "disconnect")
        : browser.heard(client, "session:end");
      await scene.bridge.destroy(sessionId);
      await heard;
      assertStrictEquals(server.sessionId, undefined);
    });

    it("does not recover a client that was connected when its session ended", async () => {
      await using scene = await startScene(options, recovering);
      const { browser, sessionId, connect } = await scene.visit({ n: 1 });
      const { client, server } = await connect();
      scene.io.emit("first");
      await browser.heard(client, "first");
      const gone = once(server, "disconnect");
      await scene.bridge.destroy(sessionId);
      await browser.heard(client, "session:end");
      client.io.engine.close();
      await gone;
      scene.io.emit("missed by all");
      const back = await comeBack(scene, browser, client);
      assertStrictEquals(back.sessionId, undefined);
      if (onSessionEnd === "disconnect") {
        assertFalse(client.recovered);
        assertEquals(missed(browser, client), []);
      }
    });
  });
}

describe("connectionStateRecovery", () => {
  it("is gated on an adapter that io.adapter() sets later, too", async () => {
    await using scene = await startScene({}, recovering);
    const Base = scene.io.of("/").adapter.constructor as new (
      ...args: unknown[]
    ) => object;
    const Later = class extends Base {};
    scene.io.adapter(
      Later as unknown as Parameters<typeof scene.io.adapter>[0],
    );
    assert((scene.io.of("/").adapter as object) instanceof Later);
    const [revoked, live] = [await scene.visit(), await scene.visit({ n: 1 })];
    const a = await loseConnection(scene, revoked);
    const b = await loseConnection(scene, live);
    await scene.bridge.destroy(revoked.sessionId);
    scene.io.emit("missed by all");
    assertFalse((await comeBack(scene, revoked.browser, a)).recovered);
    assertEquals(missed(revoked.browser, a), []);
    assert((await comeBack(scene, live.browser, b)).recovered);
    assertEquals(missed(live.browser, b), ["missed by all"]);
    assertEquals(await live.browser.ask(b, "add"), 2);
  });

  it("restores a private id only once", async () => {
    await using scene = await startScene({}, recovering);
    const visitor = await scene.visit({ n: 1 });
    const { browser } = visitor;
    const client = await loseConnection(scene, visitor);
    const auth = ticket(client);
    scene.io.emit("missed by all");
    assert((await comeBack(scene, browser, client)).recovered);
    const copy = browser.socket("/", { auth });
    const server = await comeBack(scene, browser, copy);
    assertFalse(server.recovered);
    assertEquals(missed(browser, copy), []);
  });

  it("restores a private id only once, although two ask at the same time", async () => {
    await using scene = await startScene({}, recovering);
    const visitor = await scene.visit({ n: 1 });
    const { browser } = visitor;
    const auth = ticket(await loseConnection(scene, visitor));
    const servers = await Promise.all(
      [1, 2, 3].map(() =>
        comeBack(scene, browser, browser.socket("/", { auth }))
      ),
    );
    assertEquals(servers.filter(({ recovered }) => recovered).length, 1);
  });

  it("still works for sockets that have no session", async () => {
    await using scene = await startScene({}, recovering);
    const browser = scene.browser();
    const client = await browser.connect();
    const server = serverEnd(scene, client);
    scene.io.emit("first");
    await browser.heard(client, "first");
    const gone = once(server, "disconnect");
    client.io.engine.close();
    await gone;
    scene.io.emit("missed by all");
    const back = await comeBack(scene, browser, client);
    assert(back.recovered);
    assertEquals(missed(browser, client), ["missed by all"]);
    assertEquals(await back.withSession(() => 1, "guest"), "guest");
  });

  it("follows a session that was regenerated meanwhile, or refuses, but never by the old id", async () => {
    await using scene = await startScene({}, recovering);
    scene.route("/rotate", async (ctx) => {
      await ctx.regenerateSession();
      return ctx.sessionId;
    });
    const visitor = await scene.visit({ n: 1 });
    const client = await loseConnection(scene, visitor);
    const newId = (await visitor.browser.post("/rotate")).body;
    const server = await comeBack(scene, visitor.browser, client);
    assert(server.sessionId === newId || server.sessionId === undefined);
  });
});
