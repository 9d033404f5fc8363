/** Options and members that keep features of 1.0.0 and 3.x. */
import {
  assert,
  assertEquals,
  assertFalse,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { Server } from "socket.io";
import {
  bridgeSession,
  type SessionChange,
  SessionStore,
} from "@koa-io/session";
import { createApp, serverSocketOf, type TestSocket } from "../support/app.ts";
import { connectedScenario } from "../support/connected_scenario.ts";
import { warningsOf } from "../support/console.ts";
import { signCookie, SIGNING_KEY } from "../support/cookies.ts";
import { routesAndEvents } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";
import { collect, once, pause } from "../support/wait.ts";

describe("onSessionEnd with an event", () => {
  afterEach(closeServers);
  const onSessionEnd = { disconnectAfter: 30, event: "session:destroy" };

  it("emits by that name too, then disconnects", async () => {
    const { ada, client } = await connectedScenario({ n: 1 }, { onSessionEnd });
    const gone = once(client, "disconnect");
    await ada.post("/logout");
    await gone;
    assertEquals(ada.received(client), [
      ["session:end", { reason: "logout" }],
      ["session:destroy", { reason: "logout" }],
    ]);
  });

  it("without one emits session:end only", async () => {
    const { ada, client } = await connectedScenario({ n: 1 }, {
      onSessionEnd: { disconnectAfter: 0 },
    });
    const gone = once(client, "disconnect");
    await ada.post("/logout");
    await gone;
    assertEquals(ada.received(client).map(([name]) => name), ["session:end"]);
  });
});

describe("socket.ctx", () => {
  afterEach(closeServers);

  it("is the Koa context of the handshake", async () => {
    const { ada, io } = await connectedScenario();
    const client = await ada.connect("/", {
      headers: {
        cookie: `${ada.jar.header()}; signed=1; signed.sig=${
          signCookie("signed", "1", SIGNING_KEY)
        }`,
        "x-test": "yes",
      },
      auth: { token: "t" },
    });
    const { ctx, handshake } = serverSocketOf(io, client);
    assertEquals(ctx.headers["x-test"], "yes");
    assertEquals(ctx.cookies.get("signed", { signed: true }), "1");
    assertEquals(ctx.host, new URL(ada.url).host);
    assert(ctx.ip.includes("127.0.0.1"));
    assertStrictEquals(ctx.handshake, handshake);
  });

  it("is one and the same, from io.use to disconnect", async () => {
    const seen: object[] = [];
    const { browser } = await startServer({}, (parts) => {
      parts.io.use((raw, next) => {
        const { ctx } = raw as unknown as TestSocket;
        ctx.state.user = "ada";
        seen.push(ctx);
        next();
      });
      parts.io.on("connection", (raw) => {
        const socket = raw as unknown as TestSocket;
        seen.push(socket.ctx);
        socket.on("disconnect", () => seen.push(socket.ctx));
      });
      routesAndEvents(parts);
    });
    const client = await browser().connect();
    await client.emitWithAck("whoami");
    client.disconnect();
    while (seen.length < 3) await pause(5);
    assert(seen.every((ctx) => ctx === seen[0]));
    const { state } = seen[0] as { state: Record<string, unknown> };
    assertEquals(state.user, "ada");
  });

  it("is what externalKey.get was given", async () => {
    const seen: unknown[] = [];
    const externalKey = {
      get: (ctx: unknown) => {
        seen.push(ctx);
        return "";
      },
      set: () => {},
    };
    const { socket } = await connectedScenario(null, { externalKey } as never);
    assertStrictEquals(socket.ctx, seen.at(-1));
  });

  it("has no session that could be written", async () => {
    const { socket, bridge, sessionId } = await connectedScenario({ n: 1 });
    const ctx = socket.ctx as { session: unknown };
    assertEquals(ctx.session, undefined);
    assertThrows(() => ctx.session = { n: 2 }, TypeError, "socket.withSession");
    assertEquals(await bridge.peek(sessionId), { n: 1 });
  });
});

describe("allowRndAppKeys", () => {
  for (const [allowRndAppKeys, warnings] of [[true, 0], [false, 1]] as const) {
    it(`${allowRndAppKeys} leads to ${warnings} warnings`, async () => {
      const printed = await warningsOf(async () => {
        const app = createApp();
        const bridge = bridgeSession(app, new Server(), { allowRndAppKeys });
        assertEquals(app.keys?.length, 2);
        await bridge.close();
      });
      assertEquals(printed.length, warnings);
    });
  }

  it("is no attribute of cookies", async () => {
    const { browser } = await startServer(
      { allowRndAppKeys: true },
      routesAndEvents,
    );
    const { setCookies } = await browser().post("/session", { json: { n: 1 } });
    assert(setCookies.length > 0);
    for (const { attributes } of setCookies) {
      assertFalse("allowrndappkeys" in attributes);
    }
    await closeServers();
  });
});

describe("bridge.cleanup", () => {
  afterEach(closeServers);

  it("removes expired sessions and returns their number", async () => {
    const store = new SessionStore({ autoCleanup: false });
    const { bridge } = await startServer({ store });
    store.set("a", { n: 1 }, 1);
    store.set("b", { n: 1 }, 1);
    store.set("c", { n: 1 });
    await pause(10);
    assertEquals(await bridge.cleanup(), 2);
    assertEquals(await bridge.cleanup(), 0);
  });

  it("calls a user's store, and is 0 where the store has no cleanup", async () => {
    const own = Object.assign(fakeStore(), { cleanup: async () => await 3 });
    const { bridge } = await startServer({ store: own });
    assertEquals(await bridge.cleanup(), 3);
    const other = await startServer({ store: fakeStore() });
    assertEquals(await other.bridge.cleanup(), 0);
  });
});

describe("sessionChange", () => {
  afterEach(closeServers);

  it("is emitted at each write that changes data, from anywhere", async () => {
    const { ada, client, bridge, sessionId } = await connectedScenario({
      n: 1,
    });
    const { clientId } = (await ada.get("/")).json;
    const changes = collect<[SessionChange]>(bridge, "sessionChange");
    await ada.post("/session", { json: { n: 2 } });
    await ada.ask(client, "add");
    await bridge.withSession(sessionId, ({ session }) => {
      session.n = 5;
    });
    const change = { clientId, sessionId, local: true };
    assertEquals(changes, [[change], [change], [change]]);
  });

  it("is not emitted when nothing changed", async () => {
    const { ada, client, bridge } = await connectedScenario({ n: 1 }, {
      rolling: true,
    });
    const changes = collect(bridge, "sessionChange");
    await ada.get("/session");
    await ada.post("/session", { json: { n: 1 } });
    await ada.ask(client, "get");
    await ada.post("/logout");
    await ada.post("/session", { json: { n: 1 } });
    assertEquals(changes, []);
  });
});
