import { describe, it } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertFalse,
  assertGreaterOrEqual,
  assertStrictEquals,
} from "@std/assert";
import {
  codeOf,
  collect,
  once,
  type Scene,
  settles,
  startScene,
  type TestOptions,
  type TestSession,
  type Visitor,
} from "../support/issue3.ts";

const user = (session: TestSession) => session.user;

/** Every way in which a session ends before its time, with the reason that clients are told. */
const ends: [
  name: string,
  reason: string,
  end: (scene: Scene, visitor: Visitor) => Promise<unknown>,
][] = [
  ["a logout over HTTP", "logout", (_, { browser }) => browser.post("/logout")],
  [
    "null in a handler",
    "logout",
    (scene, { sessionId }) =>
      scene.bridge.withSession(sessionId, (sessionCtx) => {
        sessionCtx.session = null;
      }),
  ],
  [
    "bridge.destroy()",
    "revoked",
    (scene, { sessionId }) => scene.bridge.destroy(sessionId),
  ],
  [
    "bridge.destroyUser()",
    "revoked",
    (scene) => scene.bridge.destroyUser("ada"),
  ],
];

describe('onSessionEnd "keep"', () => {
  for (const [name, reason, end] of ends) {
    it(`leaves sockets connected without a session after ${name}, and tells them why`, async () => {
      await using scene = await startScene({ user });
      const visitor = await scene.visit({ user: "ada" });
      const { client, server } = await visitor.connect();
      const ended = once<[Record<string, unknown>]>(scene.bridge, "sessionEnd");
      await end(scene, visitor);
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
      assertEquals(await visitor.browser.heard(client, "session:end"), [{
        reason,
      }]);
      assertEquals(
        (await visitor.browser.ask(client, "whoami")).clientId,
        visitor.clientId,
      );
      assert(client.connected);
    });
  }

  it("shows the same socket the client's next session", async () => {
    await using scene = await startScene({ user });
    const { browser, sessionId, connect } = await scene.visit({ user: "ada" });
    const { client, server } = await connect();
    await browser.post("/logout");
    await browser.post("/session", { json: { user: "bob" } });
    assert(server.sessionId && server.sessionId !== sessionId);
    await browser.heard(client, "session:start");
    assertEquals(await browser.ask(client, "get"), { user: "bob" });
    scene.bridge.toUser("ada").emit("for ada");
    scene.bridge.toUser("bob").emit("for bob");
    await browser.heard(client, "for bob");
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
    it(`tells sockets why and closes them after ${name}`, async () => {
      await using scene = await startScene({
        user,
        onSessionEnd: "disconnect",
      });
      const visitor = await scene.visit({ user: "ada" });
      const other = await scene.visit({ user: "bob" });
      const { client } = await visitor.connect();
      const { client: bystander } = await other.connect();
      const closed = once(client, "disconnect");
      await end(scene, visitor);
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
    await using scene = await startScene({ onSessionEnd: "disconnect" }, {
      prepare: ({ io }) => void io.of("/chat"),
    });
    const { sessionId, connect } = await scene.visit();
    const clients = [
      (await connect()).client,
      (await connect()).client,
      (await connect("/chat")).client,
    ];
    const closed = Promise.all(
      clients.map((client) => once(client, "disconnect")),
    );
    await scene.bridge.destroy(sessionId);
    assertEquals((await closed).map(([reason]) => reason), [
      "io server disconnect",
      "io server disconnect",
      "io server disconnect",
    ]);
  });
});

describe("onSessionEnd { disconnectAfter }", () => {
  it("tells sockets at once and closes them when the grace is over", async () => {
    await using scene = await startScene({
      onSessionEnd: { disconnectAfter: 250 },
    });
    const { browser, sessionId, connect } = await scene.visit();
    const { client, server } = await connect();
    const closed = once(client, "disconnect");
    const since = Date.now();
    await scene.bridge.destroy(sessionId);
    assertStrictEquals(server.sessionId, undefined);
    assertEquals(await browser.heard(client, "session:end"), [{
      reason: "revoked",
    }]);
    assert(client.connected);
    assertEquals((await closed)[0], "io server disconnect");
    assertGreaterOrEqual(Date.now() - since, 240);
  });
});

describe("rooms", () => {
  const roomsOf = (scene: Scene, id: string) => [
    ...scene.io.of("/").adapter.sids.get(id) ?? [],
  ];

  it("of session, client and user reach the sockets, and only them", async () => {
    await using scene = await startScene({ user }, {
      prepare: ({ io }) => void io.of("/chat"),
    });
    const ada = await scene.visit({ user: "ada" });
    const bob = await scene.visit({ user: "bob" });
    const [a, b] = [await ada.connect(), await bob.connect()];
    const chat = await ada.connect("/chat");
    scene.bridge.toSession(ada.sessionId).emit("session");
    scene.bridge.toClient(ada.clientId).emit("client");
    scene.bridge.toUser("ada").emit("user");
    scene.bridge.toSession(ada.sessionId, "/chat").emit("chat");
    await ada.browser.heard(a.client, "user");
    await ada.browser.heard(chat.client, "chat");
    await bob.browser.ask(b.client, "whoami");
    const names = ({ browser }: Visitor, client: typeof a.client) =>
      browser.received(client).map(([event]) => event)
        .filter((event) => !event.startsWith("session:"));
    assertEquals(names(ada, a.client), ["session", "client", "user"]);
    assertEquals(names(ada, chat.client), ["chat"]);
    assertEquals(names(bob, b.client), []);
  });

  it("are left before destroy() resolves; those that the app joined stay", async () => {
    await using scene = await startScene({ user });
    const { browser, sessionId, clientId, connect } = await scene.visit({
      user: "ada",
    });
    const { client, server } = await connect();
    const id = client.id!;
    server.join("the app's");
    // rooms are kept from the first call on that needs them
    scene.bridge.toSession(sessionId);
    assertGreaterOrEqual(roomsOf(scene, id).length, 5);
    await scene.bridge.destroy(sessionId);
    assertEquals(roomsOf(scene, id).sort(), [id, "the app's"].sort());
    scene.bridge.toSession(sessionId).emit("secret");
    scene.bridge.toClient(clientId).emit("secret");
    scene.bridge.toUser("ada").emit("secret");
    scene.io.to("the app's").emit("public");
    await browser.heard(client, "public");
    assertFalse(browser.received(client).some(([event]) => event === "secret"));
  });

  it("are left before a logout over HTTP is answered", async () => {
    await using scene = await startScene({ user });
    const { browser, connect } = await scene.visit({ user: "ada" });
    const { client } = await connect();
    await browser.post("/logout");
    assertEquals(roomsOf(scene, client.id!), [client.id]);
  });

  it("of a user are joined when a connected client logs in", async () => {
    await using scene = await startScene({ user });
    const { browser, sessionId, connect } = await scene.visit({ n: 0 });
    const { client } = await connect();
    scene.bridge.toUser("ada").emit("early");
    await browser.post("/session", { json: { user: "ada" } });
    scene.bridge.toUser("ada").emit("http");
    await browser.heard(client, "http");
    await scene.bridge.withSession(
      sessionId,
      ({ session }) => void (session!.user = "eve"),
    );
    scene.bridge.toUser("ada").emit("late");
    scene.bridge.toUser("eve").emit("socket");
    await browser.heard(client, "socket");
    const heard = browser.received(client).map(([event]) => event);
    assertEquals(heard.includes("early") || heard.includes("late"), false);
  });
});

describe("destroyUser() and sessionsOf()", () => {
  const startUsers = async (options: TestOptions = {}) => {
    const scene = await startScene({ user, ...options });
    const devices: Visitor[] = [];
    for (let i = 0; i < 3; i++) {
      devices.push(await scene.visit({ user: "ada" }));
    }
    const bob = await scene.visit({ user: "bob" });
    const active = async (name = "ada") =>
      (await scene.bridge.sessionsOf(name))
        .map(({ sessionId }) => sessionId).sort();
    return { scene, devices, bob, active };
  };
  const ids = (visitors: Visitor[]) =>
    visitors.map(({ sessionId }) => sessionId).sort();

  it("log out everywhere, and count", async () => {
    const { scene, devices, bob, active } = await startUsers();
    await using _ = scene;
    assertEquals(await active(), ids(devices));
    assertEquals(await scene.bridge.destroyUser("ada"), 3);
    assertEquals(await active(), []);
    for (const { sessionId } of devices) {
      assertStrictEquals(await scene.peek(sessionId), undefined);
    }
    assertEquals(await active("bob"), ids([bob]));
    assertEquals(await scene.bridge.destroyUser("ada"), 0);
    assertEquals(await scene.bridge.destroyUser("nobody"), 0);
  });

  it("spare one id, or several", async () => {
    const { scene, devices, active } = await startUsers();
    await using _ = scene;
    const [first, second, third] = devices as [Visitor, Visitor, Visitor];
    const { bridge } = scene;
    const spared = [first.sessionId, second.sessionId];
    assertEquals(await bridge.destroyUser("ada", { except: spared }), 1);
    assertStrictEquals(await scene.peek(third.sessionId), undefined);
    assertEquals(await active(), ids([first, second]));
    assertEquals(
      await bridge.destroyUser("ada", { except: first.sessionId }),
      1,
    );
    assertEquals(await active(), ids([first]));
  });

  it("know a session only while it lives and belongs to the user", async () => {
    const { scene, devices, active } = await startUsers();
    await using _ = scene;
    const [first, second, third] = devices as [Visitor, Visitor, Visitor];
    await first.browser.post("/logout");
    await second.browser.post("/session", { json: { user: "bob" } });
    assertEquals(await active(), ids([third]));
    assertEquals(await scene.bridge.destroyUser("ada"), 1);
    assert(await scene.peek(second.sessionId));
  });
});

describe("bridge.peek(), destroy(), sessionIdOf() and clientIdOf()", () => {
  it("show a copy, tell whether there was one, and find each other", async () => {
    await using scene = await startScene();
    const { bridge } = scene;
    const { sessionId, clientId } = await scene.visit({ nested: { a: 1 } });
    const copy = await scene.peek(sessionId);
    copy!.nested!.a = 2;
    assertEquals(await scene.peek(sessionId), { nested: { a: 1 } });
    assertEquals(await bridge.sessionIdOf(clientId), sessionId);
    assertEquals(await bridge.clientIdOf(sessionId), clientId);
    assertStrictEquals(await bridge.destroy(sessionId), true);
    assertStrictEquals(await bridge.destroy(sessionId), false);
    assertStrictEquals(await bridge.sessionIdOf(clientId), undefined);
    assertStrictEquals(await bridge.clientIdOf(sessionId), undefined);
  });
});

describe("socket.withSession() while the socket goes", () => {
  for (const event of ["disconnecting", "disconnect"] as const) {
    it(`works in the ${event} handler as long as the session lives`, async () => {
      await using scene = await startScene();
      const { sessionId, connect } = await scene.visit({ n: 1 });
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
      assertEquals((await scene.peek(sessionId))?.left, event);
    });

    it(`finds it missing in the ${event} handler when it ended`, async () => {
      await using scene = await startScene({ onSessionEnd: "disconnect" });
      const { sessionId, connect } = await scene.visit({ n: 1 });
      const { server } = await connect();
      const starts = collect(scene.bridge, "sessionStart");
      const done = new Promise<unknown>((resolve) => {
        server.on(event, () => resolve(codeOf(server.withSession(() => 1))));
      });
      await scene.bridge.destroy(sessionId);
      assertEquals(await settles(done), "SESSION_MISSING");
      assertEquals(starts, []);
    });
  }
});
