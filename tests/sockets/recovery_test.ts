import { describe, it as test } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertFalse,
  assertStrictEquals,
} from "@std/assert";
import { bridgeSession } from "@koa-io/session";
import {
  serverSocketOf,
  type TestSession,
  type TestSocket,
} from "../support/app.ts";
import type { Browser, ClientSocket } from "../support/browser.ts";
import { warningsOf } from "../support/console.ts";
import { KEY } from "../support/cookies.ts";
import { clearingIntervals } from "../support/intervals.ts";
import {
  connectPair,
  type Scenario,
  startScenario,
  type Visitor,
} from "../support/scenario.ts";
import type { ServerConfig, TestOptions } from "../support/server.ts";
import { once } from "../support/wait.ts";

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

/** Connects, receives one packet (only then a client can be recovered) and loses its connection. */
async function loseConnection(
  scenario: Scenario,
  { browser, connect }: Pick<Visitor, "browser" | "connect">,
): Promise<ClientSocket> {
  const { client, server } = await connect();
  scenario.io.emit("first");
  await browser.event(client, "first");
  const gone = once(server, "disconnect");
  client.io.engine.close();
  await gone;
  return client;
}

/** The application takes each of its sockets out of all rooms, as soon as it can. */
const leavingAll: ServerConfig = {
  ...recovering,
  prepare: ({ io }) => {
    io.on("connection", (socket) => {
      for (const room of socket.rooms) {
        if (room !== socket.id) socket.leave(room);
      }
      socket.leave("a room that it is not in");
    });
  },
};

/** Connects again and answers once everything that it missed has come. */
async function comeBack(
  scenario: Scenario,
  browser: Browser,
  client: ClientSocket,
): Promise<TestSocket> {
  await browser.open(client);
  await browser.ask(client, "whoami");
  return serverSocketOf(scenario.io, client);
}

function missed(browser: Browser, client: ClientSocket): string[] {
  return browser.received(client).map(([event]) => event)
    .filter((event) => event.startsWith("missed"));
}

describe("connectionStateRecovery with valid", () => {
  it("leaves a session to the handshake, which the option judges", async () => {
    let allowed = true;
    await using scenario = await startScenario(
      { valid: () => allowed },
      recovering,
    );
    const visitor = await scenario.visit({ n: 1 });
    const { browser, sessionId } = visitor;
    const client = await loseConnection(scenario, visitor);
    scenario.bridge.toSession(sessionId).emit("missed by the session");
    allowed = false;
    const server = await comeBack(scenario, browser, client);
    assertFalse(client.recovered || server.recovered);
    assertEquals(missed(browser, client), []);
    assertStrictEquals(server.sessionId, undefined);
    assertEquals((await browser.ask(client, "get")).code, "SESSION_MISSING");
  });

  it("connects a client that it accepts anew, in its session", async () => {
    await using scenario = await startScenario(
      { valid: () => true },
      recovering,
    );
    const visitor = await scenario.visit({ n: 1 });
    const client = await loseConnection(scenario, visitor);
    const server = await comeBack(scenario, visitor.browser, client);
    assertFalse(client.recovered || server.recovered);
    assertEquals(server.sessionId, visitor.sessionId);
  });

  it("recovers a guest", async () => {
    await using scenario = await startScenario(
      { valid: () => false },
      recovering,
    );
    const browser = scenario.browser();
    const connect = () => connectPair(scenario, browser);
    const client = await loseConnection(scenario, { browser, connect });
    scenario.io.emit("missed by all");
    await comeBack(scenario, browser, client);
    assert(client.recovered);
    assertEquals(missed(browser, client), ["missed by all"]);
  });
});

for (const onSessionEnd of ["keep", "disconnect"] as const) {
  describe(`connectionStateRecovery with onSessionEnd "${onSessionEnd}"`, () => {
    const options: TestOptions = { onSessionEnd };

    it("recovers a live client: its packets, its withSession and its rooms", async () => {
      await using scenario = await startScenario(options, recovering);
      const visitor = await scenario.visit({ n: 1 });
      const { browser, sessionId, clientId } = visitor;
      const client = await loseConnection(scenario, visitor);
      scenario.io.emit("missed by all");
      scenario.bridge.toSession(sessionId).emit("missed by the session");
      const server = await comeBack(scenario, browser, client);
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
      scenario.bridge.toSession(sessionId).emit("now");
      await browser.event(client, "now");
    });

    it("gives a revoked client neither its state nor what it missed", async () => {
      await using scenario = await startScenario(options, recovering);
      const visitor = await scenario.visit({ n: 1 });
      const { browser, sessionId } = visitor;
      const client = await loseConnection(scenario, visitor);
      scenario.bridge.toSession(sessionId).emit("missed by the session");
      await scenario.bridge.destroy(sessionId);
      scenario.io.emit("missed by all");
      const server = await comeBack(scenario, browser, client);
      assertFalse(client.recovered || server.recovered);
      assertEquals(missed(browser, client), []);
      assertStrictEquals(server.sessionId, undefined);
      assertEquals((await browser.ask(client, "get")).code, "SESSION_MISSING");
    });

    it("ends a recovered client with its session as any other", async () => {
      await using scenario = await startScenario(options, recovering);
      const visitor = await scenario.visit({ n: 1 });
      const { browser, sessionId } = visitor;
      const client = await loseConnection(scenario, visitor);
      const server = await comeBack(scenario, browser, client);
      assert(server.recovered);
      const heard = onSessionEnd === "disconnect"
        ? once(client, "disconnect")
        : browser.event(client, "session:end");
      await scenario.bridge.destroy(sessionId);
      await heard;
      assertStrictEquals(server.sessionId, undefined);
    });

    it("does not recover a client that was connected when its session ended", async () => {
      await using scenario = await startScenario(options, recovering);
      const { browser, sessionId, connect } = await scenario.visit({ n: 1 });
      const { client, server } = await connect();
      scenario.io.emit("first");
      await browser.event(client, "first");
      const gone = once(server, "disconnect");
      await scenario.bridge.destroy(sessionId);
      await browser.event(client, "session:end");
      client.io.engine.close();
      await gone;
      scenario.io.emit("missed by all");
      const back = await comeBack(scenario, browser, client);
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
    await using scenario = await startScenario({}, recovering);
    const Base = scenario.io.of("/").adapter.constructor as new (
      ...args: unknown[]
    ) => object;
    const Later = class extends Base {};
    scenario.io.adapter(
      Later as unknown as Parameters<typeof scenario.io.adapter>[0],
    );
    assert((scenario.io.of("/").adapter as object) instanceof Later);
    const [revoked, live] = [
      await scenario.visit(),
      await scenario.visit({ n: 1 }),
    ];
    const a = await loseConnection(scenario, revoked);
    const b = await loseConnection(scenario, live);
    await scenario.bridge.destroy(revoked.sessionId);
    scenario.io.emit("missed by all");
    assertFalse((await comeBack(scenario, revoked.browser, a)).recovered);
    assertEquals(missed(revoked.browser, a), []);
    assert((await comeBack(scenario, live.browser, b)).recovered);
    assertEquals(missed(live.browser, b), ["missed by all"]);
    assertEquals(await live.browser.ask(b, "add"), 2);
  });

  it("restores a private id only once", async () => {
    await using scenario = await startScenario({}, recovering);
    const visitor = await scenario.visit({ n: 1 });
    const { browser } = visitor;
    const client = await loseConnection(scenario, visitor);
    const auth = ticket(client);
    scenario.io.emit("missed by all");
    assert((await comeBack(scenario, browser, client)).recovered);
    const copy = browser.socket("/", { auth });
    const server = await comeBack(scenario, browser, copy);
    assertFalse(server.recovered);
    assertEquals(missed(browser, copy), []);
  });

  it("restores a private id only once, although two ask at the same time", async () => {
    await using scenario = await startScenario({}, recovering);
    const visitor = await scenario.visit({ n: 1 });
    const { browser } = visitor;
    const auth = ticket(await loseConnection(scenario, visitor));
    const servers = await Promise.all(
      [1, 2, 3].map(() =>
        comeBack(scenario, browser, browser.socket("/", { auth }))
      ),
    );
    assertEquals(servers.filter(({ recovered }) => recovered).length, 1);
  });

  it("still works for sockets that have no session", async () => {
    await using scenario = await startScenario({}, recovering);
    const browser = scenario.browser();
    const client = await browser.connect();
    const server = serverSocketOf(scenario.io, client);
    scenario.io.emit("first");
    await browser.event(client, "first");
    const gone = once(server, "disconnect");
    client.io.engine.close();
    await gone;
    scenario.io.emit("missed by all");
    const back = await comeBack(scenario, browser, client);
    assert(back.recovered);
    assertEquals(missed(browser, client), ["missed by all"]);
    assertEquals(await back.withSession(() => 1, "guest"), "guest");
  });

  it("brings what was sent to rooms of the bridge that an application left", async () => {
    await using scenario = await startScenario(
      { user: ({ user }) => user },
      leavingAll,
    );
    const visitor = await scenario.visit({ user: "ada" });
    const { browser, sessionId, clientId } = visitor;
    const client = await loseConnection(scenario, visitor);
    scenario.bridge.toSession(sessionId).emit("missed by the session");
    scenario.bridge.toClient(clientId).emit("missed by the client");
    scenario.bridge.toUser("ada").emit("missed by the user");
    scenario.bridge.toUser("eve").emit("missed by another");
    let server!: TestSocket;
    const warnings = await warningsOf(async () => {
      server = await comeBack(scenario, browser, client);
    });
    assert(client.recovered);
    assertEquals(missed(browser, client), [
      "missed by the session",
      "missed by the client",
      "missed by the user",
    ]);
    assertEquals([...server.rooms], [server.id]);
    assertEquals(warnings, []);
  });

  it("is refused to a revoked client whose application left all rooms", async () => {
    await using scenario = await startScenario(
      { user: ({ user }) => user },
      leavingAll,
    );
    const visitor = await scenario.visit({ user: "ada" });
    const client = await loseConnection(scenario, visitor);
    assertEquals(await scenario.bridge.destroyUser("ada"), 1);
    scenario.io.emit("missed by all");
    const server = await comeBack(scenario, visitor.browser, client);
    assertFalse(client.recovered || server.recovered);
    assertEquals(missed(visitor.browser, client), []);
  });

  it("is refused to what was persisted without this bridge", async () => {
    await using scenario = await startScenario({}, recovering);
    const visitor = await scenario.visit({ n: 1 });
    const { client, server } = await visitor.connect();
    scenario.io.emit("first");
    await visitor.browser.event(client, "first");
    const { app, io, bridge } = scenario;
    await bridge.close();
    const gone = once(server, "disconnect");
    client.io.engine.close();
    await gone;
    const next = bridgeSession<TestSession>(app, io, { key: KEY });
    try {
      scenario.io.emit("missed by all");
      const back = await comeBack(scenario, visitor.browser, client);
      assertFalse(client.recovered || back.recovered);
      assertEquals(missed(visitor.browser, client), []);
    } finally {
      await next.close();
    }
  });

  it("follows a session that was regenerated in between, or refuses, but never by the old id", async () => {
    await using scenario = await startScenario({}, recovering);
    scenario.route("/rotate", async (ctx) => {
      await ctx.regenerateSession();
      return ctx.sessionId;
    });
    const visitor = await scenario.visit({ n: 1 });
    const client = await loseConnection(scenario, visitor);
    const newId = (await visitor.browser.post("/rotate")).body;
    const server = await comeBack(scenario, visitor.browser, client);
    assert(server.sessionId === newId || server.sessionId === undefined);
  });
});
