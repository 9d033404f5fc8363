import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { TestSocket } from "../support/app.ts";
import { connectedScenario } from "../support/connected_scenario.ts";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";
import { deferred, settles, until } from "../support/wait.ts";

describe("socket.withSession", () => {
  afterEach(closeServers);

  it("hands out sessionId, session and socket", async () => {
    const { socket, sessionId } = await connectedScenario({ user: "ada" });
    await socket.withSession((sessionCtx) => {
      assertEquals(sessionCtx.sessionId, sessionId);
      assertEquals({ ...sessionCtx.session }, { user: "ada" });
      assertStrictEquals(sessionCtx.socket, socket);
    });
  });

  it("resolves to what the handler returns, or resolves to", async () => {
    const { socket } = await connectedScenario();
    assertEquals(await socket.withSession(() => 17), 17);
    assertEquals(await socket.withSession(() => Promise.resolve("x")), "x");
    assertEquals(await socket.withSession(() => {}), undefined);
  });

  it("sees what HTTP stored, and HTTP what it stored", async () => {
    const { socket, ada } = await connectedScenario({ n: 1 });
    await socket.withSession(({ session }) => {
      session!.n = 2;
      session!.nested = { a: 1 };
    });
    const { session } = (await ada.get("/session")).json;
    assertEquals(session, { n: 2, nested: { a: 1 } });
    await ada.post("/session", { json: { n: 3 } });
    assertEquals(await socket.withSession((it) => it.session!.n), 3);
  });

  it("lets the session be replaced, and keys be deleted", async () => {
    const { socket, ada } = await connectedScenario({ n: 1, user: "ada" });
    await socket.withSession((sessionCtx) => {
      sessionCtx.session = { list: [1] };
    });
    assertEquals((await ada.get("/session")).json.session, { list: [1] });
    await socket.withSession(({ session }) => {
      delete session!.list;
      session!.n = 0;
    });
    assertEquals((await ada.get("/session")).json.session, { n: 0 });
  });

  it("hides the bookkeeping of koa-session and of the bridge", async () => {
    for (const store of [null, fakeStore()]) {
      const { socket } = await connectedScenario(
        { n: 1 },
        { store } as TestOptions,
      );
      const keys = await socket.withSession(({ session }) =>
        Reflect.ownKeys(session!)
      );
      assertEquals(keys, ["n"]);
    }
  });

  it("refuses a session that is no object, and changes nothing", async () => {
    const { socket, ada } = await connectedScenario({ n: 1 });
    for (const wrong of ["text", 5, true, [1], () => {}]) {
      await assertRejects(
        () =>
          socket.withSession((sessionCtx) => {
            sessionCtx.session = wrong as never;
          }),
        TypeError,
      );
    }
    assertEquals((await ada.get("/session")).json.session, { n: 1 });
  });

  it("refuses a handler that is no function with a TypeError", async () => {
    const { socket } = await connectedScenario();
    for (const handler of [undefined, null, {}, "get", 5]) {
      await assertRejects(
        () => socket.withSession(handler as never),
        TypeError,
      );
    }
    const guest = await connectedScenario(null);
    await assertRejects(
      () => guest.socket.withSession(undefined as never, "missing"),
      TypeError,
    );
  });

  it("changes nothing when the handler throws, nested data included", async () => {
    const { socket, ada } = await connectedScenario({
      n: 1,
      nested: { a: 1 },
      list: [1],
    });
    const error = new Error("no");
    const thrown = await assertRejects(() =>
      socket.withSession(({ session }) => {
        session!.n = 2;
        session!.nested!.a = 2;
        session!.list!.push(2);
        throw error;
      })
    );
    assertStrictEquals(thrown, error);
    const { session } = (await ada.get("/session")).json;
    assertEquals(session, { n: 1, nested: { a: 1 }, list: [1] });
  });

  it("works in a middleware of the namespace", async () => {
    const seen: unknown[] = [];
    const { browser } = await startServer({}, (parts) => {
      routesAndEvents(parts);
      parts.io.use(async (socket, next) => {
        const { withSession } = socket as unknown as TestSocket;
        seen.push(await withSession(({ session }) => session!.n, "none"));
        next();
      });
    });
    const ada = browser();
    await ada.connect();
    await ada.post("/session", { json: { n: 4 } });
    await ada.connect();
    assertEquals(seen, ["none", 4]);
  });
});

describe("socket.withSession writes", () => {
  afterEach(closeServers);

  it("a session that changed, and none that did not", async () => {
    const store = fakeStore();
    const { socket } = await connectedScenario(
      { n: 1, nested: { a: 1 } },
      { store, touchInterval: false } as TestOptions,
    );
    const sets = () => store.calls.filter(([name]) => name === "set").length;
    const before = sets();
    await socket.withSession(() => {});
    await socket.withSession(({ session }) => session!.n);
    await socket.withSession(({ session }) => session!.nested!.a = 1);
    await socket.withSession((sessionCtx) => {
      sessionCtx.session = { n: 1, nested: { a: 1 } };
    });
    assertEquals(sets(), before);
    await socket.withSession(({ session }) => session!.nested!.a = 2);
    assertEquals(sets(), before + 1);
  });

  it("nothing, and rejects, when the session is not JSON", async () => {
    const { socket, ada } = await connectedScenario({ n: 1 });
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    for (const value of [cycle, 1n]) {
      await assertRejects(() =>
        socket.withSession(({ session }) => session!.value = value)
      );
    }
    assertEquals((await ada.get("/session")).json.session, { n: 1 });
  });

  it("a Date as its text", async () => {
    const { socket } = await connectedScenario({ n: 1 });
    const now = new Date();
    await socket.withSession(({ session }) => session!.at = now);
    const at = await socket.withSession(({ session }) => session!.at);
    assertEquals(at, now.toJSON());
  });
});

describe("socket.sessionId", () => {
  afterEach(closeServers);

  it("and clientId are those of HTTP", async () => {
    const { socket, ada } = await connectedScenario({ n: 1 });
    const { sessionId, clientId } = (await ada.get("/")).json;
    assertEquals([socket.sessionId, socket.clientId], [sessionId, clientId]);
    assertEquals(ada.jar.get(KEY), sessionId);
    assertEquals(ada.jar.get(CLIENT_KEY), clientId);
  });

  it("appears on a connected socket when its client begins a session", async () => {
    const { socket, ada } = await connectedScenario(null);
    assertEquals(socket.sessionId, undefined);
    await ada.post("/session", { json: { n: 5 } });
    assertEquals(socket.sessionId, ada.jar.get(KEY));
    assertEquals(await socket.withSession(({ session }) => session!.n), 5);
  });

  it("follows a logout and a login over HTTP on the same socket", async () => {
    const { socket, ada, sessionId } = await connectedScenario({ user: "ada" });
    await ada.post("/logout");
    assertEquals(socket.sessionId, undefined);
    assertEquals(await socket.withSession(() => 1, "missing"), "missing");
    await ada.post("/session", { json: { user: "bob" } });
    assert(socket.connected);
    assertEquals(socket.sessionId, ada.jar.get(KEY));
    assertNotEquals(socket.sessionId, sessionId);
    const user = await socket.withSession(({ session }) => session!.user);
    assertEquals(user, "bob");
  });
});

describe("socket.withSession in disconnect handlers", () => {
  afterEach(closeServers);

  for (const event of ["disconnecting", "disconnect"] as const) {
    for (const who of ["client", "server"] as const) {
      it(`works in ${event} when the ${who} closes`, async () => {
        const { socket, client, ada } = await connectedScenario({ n: 1 });
        const done = deferred<unknown>();
        socket.on(event, () => {
          socket.withSession(({ session }) => session!.n = 9)
            .then(done.resolve, done.reject);
        });
        if (who === "client") client.disconnect();
        else socket.disconnect(true);
        assertEquals(await settles(done.promise), 9);
        assertEquals((await ada.get("/session")).json.session, { n: 9 });
        await until(() => !client.connected);
      });
    }
  }
});
