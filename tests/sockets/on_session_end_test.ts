import { describe, it } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertFalse,
  assertGreaterOrEqual,
  assertStrictEquals,
} from "@std/assert";
import type { TestSession } from "../support/app.ts";
import { BridgeRooms } from "../support/bridge_rooms.ts";
import { codeOf } from "../support/errors.ts";
import {
  type Scenario,
  startScenario,
  type Visitor,
} from "../support/scenario.ts";
import type { TestOptions } from "../support/server.ts";
import { collect, once, settles, until } from "../support/wait.ts";

const user = (session: TestSession) => session.user;

/** Sockets keep their connections when the user changes. */
const keeping = { user, onUserChange: "keep" } as const;

/** Every way to end a session before it expires, with the reason that clients are sent. */
const ends: [
  name: string,
  reason: string,
  end: (scenario: Scenario, visitor: Visitor) => Promise<unknown>,
][] = [
  ["a logout over HTTP", "logout", (_, { browser }) => browser.post("/logout")],
  [
    "null in a handler",
    "logout",
    (scenario, { sessionId }) =>
      scenario.bridge.withSession(sessionId, (sessionCtx) => {
        sessionCtx.session = null;
      }),
  ],
  [
    "bridge.destroy()",
    "revoked",
    (scenario, { sessionId }) => scenario.bridge.destroy(sessionId),
  ],
  [
    "bridge.destroyUser()",
    "revoked",
    (scenario) => scenario.bridge.destroyUser("ada"),
  ],
];

describe('onSessionEnd "keep"', () => {
  for (const [name, reason, end] of ends) {
    it(`leaves sockets connected without a session after ${name}, and sends the reason`, async () => {
      await using scenario = await startScenario(keeping);
      const visitor = await scenario.visit({ user: "ada" });
      const { client, server } = await visitor.connect();
      const ended = once<[Record<string, unknown>]>(
        scenario.bridge,
        "sessionEnd",
      );
      await end(scenario, visitor);
      assertStrictEquals(server.sessionId, undefined);
      assertEquals(
        await codeOf(server.withSession(() => 1)),
        "SESSION_MISSING",
      );
      assertEquals((await ended)[0], {
        clientId: visitor.clientId,
        sessionId: visitor.sessionId,
        reason,
        local: true,
      });
      assertEquals(await visitor.browser.event(client, "session:end"), [{
        reason,
      }]);
      assertEquals(
        (await visitor.browser.ask(client, "whoami")).clientId,
        visitor.clientId,
      );
      assert(client.connected);
    });
  }

  it("gives the same socket the client's next session", async () => {
    await using scenario = await startScenario(keeping);
    const { browser, sessionId, connect } = await scenario.visit({
      user: "ada",
    });
    const { client, server } = await connect();
    await browser.post("/logout");
    await browser.post("/session", { json: { user: "bob" } });
    assert(server.sessionId && server.sessionId !== sessionId);
    await browser.event(client, "session:start");
    assertEquals(await browser.ask(client, "get"), { user: "bob" });
    scenario.bridge.toUser("ada").emit("for ada");
    scenario.bridge.toUser("bob").emit("for bob");
    await browser.event(client, "for bob");
    assertFalse(
      browser.received(client).some(([event]) => event === "for ada"),
    );
    assertFalse(
      JSON.stringify(browser.received(client)).includes(server.sessionId),
    );
  });
});

describe('onSessionEnd "disconnect"', () => {
  for (const [name, reason, end] of ends) {
    it(`sends sockets the reason and closes them after ${name}`, async () => {
      await using scenario = await startScenario({
        user,
        onSessionEnd: "disconnect",
      });
      const visitor = await scenario.visit({ user: "ada" });
      const other = await scenario.visit({ user: "bob" });
      const { client } = await visitor.connect();
      const { client: bystander } = await other.connect();
      const closed = once(client, "disconnect");
      await end(scenario, visitor);
      assertEquals((await closed)[0], "io server disconnect");
      assertEquals(
        visitor.browser.received(client).filter(([event]) =>
          event === "session:end"
        ),
        [["session:end", { reason }]],
      );
      assertEquals(await other.browser.ask(bystander, "add"), 1);
    });
  }

  it("reaches the sockets of every namespace and tab", async () => {
    await using scenario = await startScenario({ onSessionEnd: "disconnect" }, {
      prepare: ({ io }) => void io.of("/chat"),
    });
    const { sessionId, connect } = await scenario.visit();
    const clients = [
      (await connect()).client,
      (await connect()).client,
      (await connect("/chat")).client,
    ];
    const closed = Promise.all(
      clients.map((client) => once(client, "disconnect")),
    );
    await scenario.bridge.destroy(sessionId);
    assertEquals((await closed).map(([reason]) => reason), [
      "io server disconnect",
      "io server disconnect",
      "io server disconnect",
    ]);
  });
});

describe("onSessionEnd { disconnectAfter }", () => {
  it("sends sockets the end at once and closes them after the grace period", async () => {
    await using scenario = await startScenario({
      onSessionEnd: { disconnectAfter: 250 },
    });
    const { browser, sessionId, connect } = await scenario.visit();
    const { client, server } = await connect();
    const closed = once(client, "disconnect");
    const since = Date.now();
    await scenario.bridge.destroy(sessionId);
    assertStrictEquals(server.sessionId, undefined);
    assertEquals(await browser.event(client, "session:end"), [{
      reason: "revoked",
    }]);
    assert(client.connected);
    assertEquals((await closed)[0], "io server disconnect");
    assertGreaterOrEqual(Date.now() - since, 240);
  });
});

describe("rooms", () => {
  const joinedBy = (scenario: Scenario, id: string) => [
    ...scenario.io.of("/").adapter.sids.get(id) ?? [],
  ];

  it("of session, client and user reach the sockets, and only them", async () => {
    await using scenario = await startScenario({ user }, {
      prepare: ({ io }) => void io.of("/chat"),
    });
    const ada = await scenario.visit({ user: "ada" });
    const bob = await scenario.visit({ user: "bob" });
    const [a, b] = [await ada.connect(), await bob.connect()];
    const chat = await ada.connect("/chat");
    scenario.bridge.toSession(ada.sessionId).emit("session");
    scenario.bridge.toClient(ada.clientId).emit("client");
    scenario.bridge.toUser("ada").emit("user");
    scenario.bridge.toSession(ada.sessionId, "/chat").emit("chat");
    await ada.browser.event(a.client, "user");
    await ada.browser.event(chat.client, "chat");
    await bob.browser.ask(b.client, "whoami");
    const names = ({ browser }: Visitor, client: typeof a.client) =>
      browser.received(client).map(([event]) => event)
        .filter((event) => !event.startsWith("session:"));
    assertEquals(names(ada, a.client), ["session", "client", "user"]);
    assertEquals(names(ada, chat.client), ["chat"]);
    assertEquals(names(bob, b.client), []);
  });

  it("are left before destroy() resolves; those that the app joined stay", async () => {
    await using scenario = await startScenario({ user });
    const { browser, sessionId, clientId, connect } = await scenario.visit({
      user: "ada",
    });
    const { client, server } = await connect();
    const id = client.id!;
    server.join("the app's");
    const rooms = new BridgeRooms(scenario.io);
    // rooms are kept from the first call on that needs them
    scenario.bridge.toSession(sessionId);
    assertEquals(rooms.of(server).length, 3);
    await scenario.bridge.destroy(sessionId);
    assertEquals(rooms.of(server), []);
    assertEquals(joinedBy(scenario, id).sort(), [id, "the app's"].sort());
    scenario.bridge.toSession(sessionId).emit("secret");
    scenario.bridge.toClient(clientId).emit("secret");
    scenario.bridge.toUser("ada").emit("secret");
    scenario.io.to("the app's").emit("public");
    await browser.event(client, "public");
    assertFalse(browser.received(client).some(([event]) => event === "secret"));
  });

  for (const onUserChange of ["keep", "reconnect"] as const) {
    it(`are left before a logout over HTTP is answered, with onUserChange: "${onUserChange}"`, async () => {
      await using scenario = await startScenario({ user, onUserChange });
      const { browser, connect } = await scenario.visit({ user: "ada" });
      const { client, server } = await connect();
      const { id } = client;
      const rooms = new BridgeRooms(scenario.io);
      scenario.bridge.toUser("ada");
      assertEquals(rooms.of(server).length, 3);
      await browser.post("/logout");
      assertEquals(rooms.of(server), []);
      if (onUserChange === "keep") {
        assertEquals(joinedBy(scenario, id!), [id]);
        return;
      }
      // those of the application are left with the connection
      await until(() => !server.connected, "the connection closed");
      assertEquals(joinedBy(scenario, id!), []);
    });
  }

  it("of a user are joined when a connected client logs in", async () => {
    await using scenario = await startScenario(keeping);
    const { browser, sessionId, connect } = await scenario.visit({ n: 0 });
    const { client } = await connect();
    scenario.bridge.toUser("ada").emit("early");
    await browser.post("/session", { json: { user: "ada" } });
    scenario.bridge.toUser("ada").emit("http");
    await browser.event(client, "http");
    await scenario.bridge.withSession(
      sessionId,
      ({ session }) => void (session!.user = "eve"),
    );
    scenario.bridge.toUser("ada").emit("late");
    scenario.bridge.toUser("eve").emit("socket");
    await browser.event(client, "socket");
    const heard = browser.received(client).map(([event]) => event);
    assertEquals(heard.includes("early") || heard.includes("late"), false);
  });
});

describe("destroyUser() and sessionsOf()", () => {
  const startUsers = async (options: TestOptions = {}) => {
    const scenario = await startScenario({ user, ...options });
    const devices: Visitor[] = [];
    for (let i = 0; i < 3; i++) {
      devices.push(await scenario.visit({ user: "ada" }));
    }
    const bob = await scenario.visit({ user: "bob" });
    const active = async (name = "ada") =>
      (await scenario.bridge.sessionsOf(name))
        .map(({ sessionId }) => sessionId).sort();
    return { scenario, devices, bob, active };
  };
  const ids = (visitors: Visitor[]) =>
    visitors.map(({ sessionId }) => sessionId).sort();

  it("end all sessions of a user, and count them", async () => {
    const { scenario, devices, bob, active } = await startUsers();
    await using _ = scenario;
    assertEquals(await active(), ids(devices));
    assertEquals(await scenario.bridge.destroyUser("ada"), 3);
    assertEquals(await active(), []);
    for (const { sessionId } of devices) {
      assertStrictEquals(await scenario.peek(sessionId), undefined);
    }
    assertEquals(await active("bob"), ids([bob]));
    assertEquals(await scenario.bridge.destroyUser("ada"), 0);
    assertEquals(await scenario.bridge.destroyUser("nobody"), 0);
  });

  it("spare one id, or several", async () => {
    const { scenario, devices, active } = await startUsers();
    await using _ = scenario;
    const [first, second, third] = devices as [Visitor, Visitor, Visitor];
    const { bridge } = scenario;
    const spared = [first.sessionId, second.sessionId];
    assertEquals(await bridge.destroyUser("ada", { except: spared }), 1);
    assertStrictEquals(await scenario.peek(third.sessionId), undefined);
    assertEquals(await active(), ids([first, second]));
    assertEquals(
      await bridge.destroyUser("ada", { except: first.sessionId }),
      1,
    );
    assertEquals(await active(), ids([first]));
  });

  it("find a session only while it is alive and belongs to the user", async () => {
    const { scenario, devices, bob, active } = await startUsers();
    await using _ = scenario;
    const [first, second, third] = devices as [Visitor, Visitor, Visitor];
    await first.browser.post("/logout");
    await second.browser.post("/session", { json: { user: "bob" } });
    assertEquals(await active(), ids([third]));
    assertEquals(await scenario.bridge.destroyUser("ada"), 1);
    const { sessionId } = (await second.browser.get("/session")).json;
    assertEquals(await active("bob"), [bob.sessionId, sessionId].sort());
    assertEquals(await scenario.peek(sessionId), { user: "bob" });
  });
});

describe("bridge.peek(), destroy(), sessionIdOf() and clientIdOf()", () => {
  it("return a copy, whether there was a session, and each other's ids", async () => {
    await using scenario = await startScenario();
    const { bridge } = scenario;
    const { sessionId, clientId } = await scenario.visit({ nested: { a: 1 } });
    const copy = await scenario.peek(sessionId);
    copy!.nested!.a = 2;
    assertEquals(await scenario.peek(sessionId), { nested: { a: 1 } });
    assertEquals(await bridge.sessionIdOf(clientId), sessionId);
    assertEquals(await bridge.clientIdOf(sessionId), clientId);
    assertStrictEquals(await bridge.destroy(sessionId), true);
    assertStrictEquals(await bridge.destroy(sessionId), false);
    assertStrictEquals(await bridge.sessionIdOf(clientId), undefined);
    assertStrictEquals(await bridge.clientIdOf(sessionId), undefined);
  });
});

describe("socket.withSession() while the socket disconnects", () => {
  for (const event of ["disconnecting", "disconnect"] as const) {
    it(`works in the ${event} handler as long as the session lives`, async () => {
      await using scenario = await startScenario();
      const { sessionId, connect } = await scenario.visit({ n: 1 });
      const { client, server } = await connect();
      const done = new Promise<unknown>((resolve) => {
        server.on(event, () => {
          resolve(server.withSession(async ({ session }) => {
            await Promise.resolve();
            session!.left = event;
            return session!.n;
          }));
        });
      });
      client.disconnect();
      assertEquals(await settles(done), 1);
      assertEquals((await scenario.peek(sessionId))?.left, event);
    });

    it(`finds it missing in the ${event} handler when it ended`, async () => {
      await using scenario = await startScenario({
        onSessionEnd: "disconnect",
      });
      const { sessionId, connect } = await scenario.visit({ n: 1 });
      const { server } = await connect();
      const starts = collect(scenario.bridge, "sessionStart");
      const done = new Promise<unknown>((resolve) => {
        server.on(event, () => resolve(codeOf(server.withSession(() => 1))));
      });
      await scenario.bridge.destroy(sessionId);
      assertEquals(await settles(done), "SESSION_MISSING");
      assertEquals(starts, []);
    });
  }
});
