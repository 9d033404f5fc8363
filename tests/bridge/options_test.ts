import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { Server } from "socket.io";
import {
  bridgeSession,
  type SessionBridge,
  SessionStore,
} from "@koa-io/session";
import { createApp } from "../support/app.ts";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import type { Proxy } from "../support/ports.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";

const DAY = 86_400_000;

/** Makes a bridge without clients. */
function construct(options: Record<string, unknown>): SessionBridge {
  const app = createApp();
  app.keys = ["k"];
  return bridgeSession(app, new Server(), options as never) as SessionBridge;
}

class ContextStore {
  get(): undefined {}
  set(): void {}
  destroy(): void {}
}

const noop = () => {};
const wholeStore = { get: noop, set: noop, destroy: noop, on: noop };

/** Values of the wrong type, or outside of a list of words. */
const wrongTypes: Record<string, unknown[]> = {
  key: [5, {}, true],
  maxAge: ["1d", true, {}],
  signed: ["yes", 1],
  store: [5, "memory", {}, { get: noop, set: noop }],
  autoCleanup: ["yes", 1],
  autoCleanupMs: ["10", {}],
  clientKey: [5, {}],
  clientMaxAge: ["1y", true],
  clientAlwaysRoll: ["no", 0],
  appKeys: [5, {}, [1, 2]],
  onSessionEnd: [5, true, {}, { disconnectAfter: "1s" }, {
    disconnectAfter: 1,
    event: 5,
  }],
  onConflict: [5, true, {}],
  allowRndAppKeys: ["yes", 1],
  view: [true, {}, "user"],
  expiringNotice: ["1m", true, {}],
  schema: [5, {}, noop, { "~standard": { version: 2, validate: noop } }],
  onInvalid: [true, {}],
  absoluteMaxAge: ["1d", true],
  touchInterval: ["1m", true, {}],
  user: ["id", 5, {}],
  onUserChange: [5, true, {}, noop],
  maxSessions: ["3", true, [], [3], {}, noop, { max: "3" }, {
    max: 1,
    exceed: 5,
  }],
  meta: ["ip", 5, {}],
  origin: [5, true, {}],
  lockTimeout: ["5s", true],
  maxWaiting: ["10", true],
  storeTimeout: ["5s", true],
  reconcileInterval: ["1m", true],
  rolling: ["yes", 1],
  renew: ["yes", 1],
  sameSite: [5, {}],
  secure: ["yes", 1],
  httpOnly: ["yes", 1],
  overwrite: ["yes", 1],
  autoCommit: ["yes", 1],
  prefix: [5, {}],
  genid: ["uuid", {}],
  encode: ["json", {}],
  decode: ["json", {}],
  valid: [true, {}],
  beforeSave: [true, {}],
  externalKey: [5, {}, { get: noop }, { set: noop }],
  ContextStore: [5, {}, "redis", noop],
};

/** Values of the right type, out of range. */
const wrongRanges: Record<string, unknown[]> = {
  maxAge: [0, -1],
  autoCleanupMs: [0, -1],
  clientMaxAge: [0, -1],
  absoluteMaxAge: [0, -1],
  touchInterval: [-1],
  lockTimeout: [0, -1],
  maxWaiting: [0, 1.5, Infinity],
  storeTimeout: [0, -1],
  reconcileInterval: [0, -1],
  expiringNotice: [0, -1],
  maxSessions: [0, -1, 1.5, NaN, Infinity, { max: 0 }, {
    max: 1,
    exceed: "newest",
  }],
  onSessionEnd: [
    { disconnectAfter: -1 },
    { disconnectAfter: 1, event: "" },
    { disconnectAfter: 1, event: "disconnect" },
    { disconnectAfter: 1, event: "session:end" },
  ],
};

/** Values of the right type that are not among those known: type or range, as one sees it. */
const wrongWords: Record<string, unknown[]> = {
  maxAge: [NaN, Infinity, "forever"],
  autoCleanupMs: [NaN],
  clientMaxAge: [NaN, Infinity],
  absoluteMaxAge: [NaN],
  touchInterval: [NaN],
  lockTimeout: [NaN],
  storeTimeout: [NaN],
  reconcileInterval: [NaN],
  expiringNotice: [NaN],
  onInvalid: ["drop", ""],
  onUserChange: ["leave", ""],
  onSessionEnd: ["close", "", { disconnectAfter: NaN }],
  onConflict: ["first", ""],
  origin: ["all", "https://example.org", ""],
  sameSite: ["everywhere"],
  key: ["", "a;b", "a=b", "ключ"],
  clientKey: ["", "a;b", "a=b"],
  appKeys: [[], [""]],
};

const shown = (value: unknown) =>
  typeof value === "object" ? JSON.stringify(value) : String(value);

describe("bridgeSession options", () => {
  for (const [option, values] of Object.entries(wrongTypes)) {
    it(`refuse a wrong ${option} with a TypeError that names it`, () => {
      for (const value of values) {
        const error = assertThrows(
          () => construct({ [option]: value }),
          TypeError,
        );
        assertMatch(error.message, new RegExp(`\\b${option}\\b`), shown(value));
        assertStringIncludes(error.message, "received");
      }
    });
  }

  for (const [option, values] of Object.entries(wrongRanges)) {
    it(`refuse a ${option} out of range with a RangeError that names it`, () => {
      for (const value of values) {
        const error = assertThrows(
          () => construct({ [option]: value }),
          RangeError,
        );
        assertMatch(error.message, new RegExp(`\\b${option}\\b`), shown(value));
        assertStringIncludes(error.message, "received");
      }
    });
  }

  for (const [option, values] of Object.entries(wrongWords)) {
    it(`refuse a ${option} that means nothing, by name`, () => {
      for (const value of values) {
        const error = assertThrows(() => construct({ [option]: value }));
        assert(
          error instanceof TypeError || error instanceof RangeError,
          `${shown(value)}: ${error}`,
        );
        assertMatch(error.message, new RegExp(`\\b${option}\\b`), shown(value));
      }
    });
  }

  it("are refused with the value in the message", () => {
    const error = assertThrows(() => construct({ maxAge: -17 }), RangeError);
    assertStringIncludes(error.message, "-17");
  });

  it("are refused even with a value that cannot be printed", () => {
    const hostile = Object.create(null);
    hostile.self = hostile;
    hostile.big = 1n;
    for (const value of [hostile, Symbol("x"), 10n, new Proxy({}, {})]) {
      const error = assertThrows(() => construct({ maxAge: value }), TypeError);
      assertStringIncludes(error.message, "maxAge");
    }
  });

  it("refuse to be anything but an object", () => {
    for (const options of [5, "x", true, [], noop]) {
      assertThrows(() => construct(options as never), TypeError);
    }
  });

  it("refuse ContextStore together with store, by name", () => {
    const error = assertThrows(
      () => construct({ store: wholeStore, ContextStore }),
      TypeError,
    );
    assertMatch(error.message, /ContextStore/);
    assertMatch(error.message, /\bstore\b/);
  });

  it("refuse with ContextStore what looks up sessions outside requests, by name", () => {
    const user = () => "ada";
    const options = { user, maxSessions: 1, expiringNotice: 1_000 };
    for (const name of ["maxSessions", "expiringNotice"] as const) {
      const error = assertThrows(
        () => construct({ ContextStore, user, [name]: options[name] }),
        TypeError,
      );
      assertMatch(error.message, new RegExp(`${name}.*ContextStore`));
    }
  });

  it("refuse a clientKey that is the key, by name", () => {
    const error = assertThrows(
      () => construct({ key: "a", clientKey: "a" }),
      RangeError,
    );
    assertStringIncludes(error.message, "clientKey");
  });

  it("accept a store that lacks only `on`", async () => {
    const { get, set, destroy } = wholeStore;
    const bridge = construct({ store: { get, set, destroy } });
    await bridge.close();
  });

  it("leave the app as it was when they are refused", async () => {
    const app = createApp();
    const io = new Server();
    assertThrows(() => bridgeSession(app, io, { maxAge: -1 }), RangeError);
    assertThrows(
      () => bridgeSession(app, io, { overwrite: "x" } as never),
      TypeError,
    );
    assertEquals(app.keys, undefined);
    app.keys = ["k"];
    const bridge = bridgeSession(app, io, { maxAge: 1_000 });
    await bridge.close();
  });

  it("are not changed, and may be frozen", async () => {
    const options = Object.freeze(
      { key: KEY, sameSite: "lax", rolling: true, user: undefined } as const,
    );
    const before = { ...options };
    const bridge = construct(options);
    assertEquals({ ...options }, before);
    await bridge.close();

    const left: TestOptions = {};
    const other = construct(left as Record<string, unknown>);
    assertEquals(Object.keys(left), []);
    await other.close();
  });

  it("touch no prototype by any name", async () => {
    const options = JSON.parse(
      '{ "__proto__": { "polluted": 1, "maxAge": -1 }, "constructor": 1 }',
    );
    try {
      await construct(options).close();
    } catch (error) {
      assertInstanceOf(error, TypeError);
    }
    assertFalse("polluted" in {});
  });
});

describe("bridgeSession options left out", () => {
  afterEach(closeServers);

  const options = [
    ...Object.keys(wrongTypes),
    "domain",
    "path",
  ].filter((name) => name !== "key");
  const nulls = Object.fromEntries(options.map((name) => [name, null]));

  for (
    const [what, given] of [["", {}], [" as null", nulls]] as [
      string,
      TestOptions,
    ][]
  ) {
    it(`default to a signed, http-only cookie of 30 days${what}`, async () => {
      const { browser, bridge } = await startServer(given, routesAndEvents);
      const answer = await browser().post("/session", { json: { n: 1 } });
      const cookie = answer.cookie(KEY)!;
      assertEquals(cookie.attributes.path, "/");
      assert("httponly" in cookie.attributes);
      assertFalse("samesite" in cookie.attributes);
      const life = Date.parse(cookie.attributes.expires!) - Date.now();
      assert(Math.abs(life - 30 * DAY) < 5_000, `${life}`);
      assert(answer.cookie(`${KEY}.sig`));
      assertInstanceOf(bridge.store, SessionStore);
      assertStrictEquals(bridge.store.maxAge, 30 * DAY);
    });

    it(`default to a signed client cookie of 1 year${what}`, async () => {
      const { browser } = await startServer(given, routesAndEvents);
      const ada = browser();
      for (let i = 0; i < 2; i++) {
        const answer = await ada.get("/");
        const cookie = answer.cookie(CLIENT_KEY)!;
        const life = Date.parse(cookie.attributes.expires!) - Date.now();
        assert(Math.abs(life - 365 * DAY) < 5_000, `${life}`);
        assert("httponly" in cookie.attributes);
        assert(answer.cookie(`${CLIENT_KEY}.sig`));
      }
    });
  }

  it("default to a random key and the client cookie that follows", async () => {
    const names: string[] = [];
    for (let i = 0; i < 2; i++) {
      const { browser } = await startServer(
        { key: null } as TestOptions,
        routesAndEvents,
      );
      const answer = await browser().post("/session", { json: { n: 1 } });
      const [name] = answer.setCookies.map((cookie) => cookie.name)
        .filter((name) => /^[\w-]{12}$/.test(name));
      assert(name);
      assert(answer.cookie(`${name}.cid`));
      names.push(name);
    }
    assertNotEquals(names[0], names[1]);
  });
});
