import { EventEmitter } from "node:events";
import { createServer } from "node:http";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import koaSession from "koa-session";
import { Server, type Socket } from "socket.io";
import defaultExport, {
  bridgeSession,
  generateUid,
  SessionBridge,
  SessionStore,
} from "@koa-io/session";
import { createApp, type TestSocket } from "../support/app.ts";
import type { Browser } from "../support/browser.ts";
import { warningsOf } from "../support/console.ts";
import { routesAndEvents, sessionEvents } from "../support/routes.ts";
import {
  closeServers,
  type ServerConfig,
  startServer,
} from "../support/server.ts";

/** One session, seen from HTTP and from a socket of this namespace. */
async function sharesOneSession(browser: Browser, namespace = "/") {
  await browser.post("/session", { json: { n: 1 } });
  const { sessionId, clientId } = (await browser.get("/")).json;
  const socket = await browser.connect(namespace);
  assertEquals(await browser.ask(socket, "add"), 2);
  assertEquals(await browser.ask(socket, "whoami"), { sessionId, clientId });
  assertEquals((await browser.get("/session")).json.session, { n: 2 });
}

describe("bridgeSession", () => {
  afterEach(closeServers);

  it("is the default export and a named one", () => {
    assertStrictEquals(defaultExport, bridgeSession);
  });

  it("returns a SessionBridge, an EventEmitter, at once", async () => {
    const app = createApp();
    app.keys = ["k"];
    const bridge = bridgeSession(app, new Server());
    assertInstanceOf(bridge, SessionBridge);
    assertInstanceOf(bridge, EventEmitter);
    await bridge.close();
  });

  it("closes more than once, and with await using", async () => {
    const app = createApp();
    app.keys = ["k"];
    const bridge = bridgeSession(app, new Server(), {});
    await bridge[Symbol.asyncDispose]();
    await bridge.close();
  });

  it("refuses an app that is none, by name", () => {
    for (const app of [undefined, null, {}, "app"]) {
      const error = assertThrows(
        () => bridgeSession(app as never, new Server()),
        TypeError,
      );
      assertStringIncludes(error.message, "app");
    }
  });

  it("refuses an io that is none, by name", () => {
    const app = createApp();
    app.keys = ["k"];
    for (const io of [undefined, null, {}, createServer()]) {
      const error = assertThrows(
        () => bridgeSession(app, io as never),
        TypeError,
      );
      assertStringIncludes(error.message, "io");
    }
  });

  it("refuses an app that has koa-session, by name", () => {
    const app = createApp();
    app.keys = ["k"];
    app.use(koaSession({}, app as never) as never);
    const error = assertThrows(
      () => bridgeSession(app, new Server()),
      TypeError,
    );
    assertMatch(error.message, /koa-session/);
  });

  it("refuses an app that has a bridge, by name", async () => {
    const app = createApp();
    app.keys = ["k"];
    const bridge = bridgeSession(app, new Server());
    const error = assertThrows(
      () => bridgeSession(app, new Server()),
      TypeError,
    );
    assertMatch(error.message, /bridge/i);
    await bridge.close();
  });
});

describe("bridge.store", () => {
  afterEach(closeServers);

  it("is a SessionStore unless one is given", async () => {
    const { bridge } = await startServer();
    assertInstanceOf(bridge.store, SessionStore);
  });

  it("is the store that was given", async () => {
    const store = new SessionStore();
    const { bridge, close } = await startServer({ store });
    assertStrictEquals(bridge.store, store);
    await close();
    store.close();
  });

  it("holds what HTTP put into the session", async () => {
    const { bridge, browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    await ada.post("/session", { json: { user: "ada" } });
    const { sessionId } = (await ada.get("/")).json;
    const store = bridge.store as SessionStore;
    assertEquals(store.get(sessionId)?.user, "ada");
  });
});

describe("app.keys", () => {
  it("are made at random when there are none, with one warning", async () => {
    const made = createApp();
    const empty = createApp();
    empty.keys = [];
    for (const app of [made, empty]) {
      let bridge: SessionBridge | undefined;
      await warningsOf(() => {
        bridge = bridgeSession(app, new Server());
      });
      await bridge?.close();
      assert(Array.isArray(app.keys) && app.keys.length > 0);
      assert(app.keys.every((key) => key.length >= 12));
    }
    assertNotEquals(made.keys, empty.keys);
  });

  it("are warned about once, on console.warn", async () => {
    const warnings = await warningsOf(async () => {
      const { browser, close } = await startServer({}, routesAndEvents, {
        keys: false,
      });
      const ada = browser();
      await sharesOneSession(ada);
      await close();
    });
    const about = warnings.filter((text) => text.includes("keys"));
    assertEquals(about.length, 1, warnings.join("\n"));
  });

  it("are not warned about when they are set", async () => {
    const warnings = await warningsOf(async () => {
      const { close } = await startServer();
      await close();
    });
    assertEquals(warnings, []);
  });

  it("are set from appKeys", async () => {
    let keys: string[] | undefined;
    const warnings = await warningsOf(async () => {
      const { app, close } = await startServer(
        { appKeys: ["one", "two"] },
        routesAndEvents,
        { keys: false },
      );
      keys = app.keys;
      await close();
    });
    assertEquals(keys, ["one", "two"]);
    assertEquals(warnings, []);
  });

  it("that are set already refuse appKeys, by name", () => {
    const app = createApp();
    app.keys = ["k"];
    const error = assertThrows(
      () => bridgeSession(app, new Server(), { appKeys: ["other"] }),
      TypeError,
    );
    assertStringIncludes(error.message, "appKeys");
    assertEquals(app.keys, ["k"]);
  });
});

describe("one session over HTTP and Socket.IO", () => {
  afterEach(closeServers);

  for (const attach of ["before", "after"] as const) {
    it(`with io attached ${attach} the bridge`, async () => {
      const { browser } = await startServer({}, routesAndEvents, { attach });
      await sharesOneSession(browser());
    });

    it(`over polling with io attached ${attach} the bridge`, async () => {
      const { browser } = await startServer({}, routesAndEvents, { attach });
      const ada = browser();
      await ada.post("/session", { json: { n: 1 } });
      const socket = await ada.connect("/", { transports: ["polling"] });
      assertEquals(await ada.ask(socket, "add"), 2);
    });
  }

  const spaces: Record<string, ServerConfig["prepare"]> = {
    "a static namespace": ({ io }) => sessionEvents(io.of("/space")),
    "a dynamic namespace (RegExp)": ({ io }) =>
      sessionEvents(io.of(/^\/space$/)),
    "a dynamic namespace (function)": ({ io }) =>
      sessionEvents(
        io.of((name, _auth, next) => next(null, name === "/space")),
      ),
  };
  for (const [what, make] of Object.entries(spaces)) {
    it(`on ${what} made before the bridge`, async () => {
      const { browser } = await startServer({}, routesAndEvents, {
        prepare: make!,
      });
      await sharesOneSession(browser(), "/space");
    });

    it(`on ${what} made after the bridge`, async () => {
      const { browser } = await startServer({}, (parts) => {
        routesAndEvents(parts);
        make!(parts);
      });
      await sharesOneSession(browser(), "/space");
    });
  }

  it("on a namespace made while the server runs", async () => {
    const { browser, io } = await startServer({}, routesAndEvents);
    const ada = browser();
    await ada.get("/");
    sessionEvents(io.of("/late"));
    await sharesOneSession(ada, "/late");
  });

  it("on several namespaces of one connection", async () => {
    const { browser } = await startServer({}, (parts) => {
      routesAndEvents(parts);
      sessionEvents(parts.io.of("/space"));
    });
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    const socket = await ada.connect();
    const other = socket.io.socket("/space").connect();
    assertEquals(await ada.ask(other, "add"), 2);
    assertEquals(await ada.ask(socket, "add"), 3);
    other.disconnect();
  });
});

describe("the handshake middleware", () => {
  afterEach(closeServers);

  const seen = (list: unknown[]) => (socket: Socket, next: () => void) => {
    const { sessionId, withSession } = socket as unknown as TestSocket;
    list.push(typeof sessionId, typeof withSession);
    next();
  };

  it("runs before the user's own, whenever they were added", async () => {
    const list: unknown[] = [];
    const { browser } = await startServer({}, (parts) => {
      routesAndEvents(parts);
      parts.io.use(seen(list));
    }, { prepare: ({ io }) => io.use(seen(list)) });
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    await ada.connect();
    assertEquals(list, ["string", "function", "string", "function"]);
  });

  it("runs before the user's own on a dynamic namespace's parent", async () => {
    const list: unknown[] = [];
    const { browser } = await startServer({}, (parts) => {
      routesAndEvents(parts);
      parts.io.of(/^\/after/).use(seen(list));
    }, { prepare: ({ io }) => io.of(/^\/before/).use(seen(list)) });
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    await ada.connect("/before-1");
    await ada.connect("/after-1");
    assertEquals(list, ["string", "function", "string", "function"]);
  });

  it("lets the user's own refuse", async () => {
    const { browser } = await startServer({}, ({ io }) => {
      io.use((_socket, next) => next(new Error("not today")));
    });
    const refused = await browser().connect().catch((error: Error) => error);
    assertInstanceOf(refused, Error);
    assertEquals(refused.message, "not today");
  });
});

describe("generateUid", () => {
  it("returns the number of characters that is asked for, 16 by default", () => {
    assertMatch(generateUid(), /^[\w-]{16}$/);
    assertMatch(generateUid(12), /^[\w-]{12}$/);
    assertMatch(generateUid(24), /^[\w-]{24}$/);
  });

  it("never gives the same twice", () => {
    const ids = new Set(Array.from({ length: 1_000 }, () => generateUid()));
    assertEquals(ids.size, 1_000);
  });
});
