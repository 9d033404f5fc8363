/** Mistakes that would otherwise show much later, or never. */
import { bridgeSession } from "@koa-io/session";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
// @ts-types="@types/koa"
import Koa from "koa";
import koaSession from "koa-session";
import { Server } from "socket.io";
import { warningsOf } from "../support/console.ts";
import { routesAndEvents } from "../support/routes.ts";
import { type Scenario, startScenario } from "../support/scenario.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";
import { pause } from "../support/wait.ts";

describe("app.keys", () => {
  const refused: Record<string, unknown> = {
    "an empty string": [""],
    "undefined": ["a long secret that stays the same", undefined],
    "a number": [1],
    "a string in place of a list": "a long secret that stays the same",
  };
  for (const [name, keys] of Object.entries(refused)) {
    it(`with ${name} are refused, and not quoted`, () => {
      const app = new Koa();
      Object.assign(app, { keys });
      const io = new Server();
      const error = assertThrows(
        () => bridgeSession(app, io, { key: "sid" }),
        TypeError,
        "app.keys must be an array of strings",
      );
      assert(!error.message.includes("secret"));
    });
  }
});

describe("a value that JSON does not keep", () => {
  afterEach(closeServers);

  it("is warned of once, with its key and its kind", async () => {
    const { visit, route, bridge } = await startScenario({});
    const { browser, sessionId } = await visit();
    class Cart {
      items = [];
    }
    route("/set", (ctx) => {
      Object.assign(ctx.session!, { cart: new Cart(), plain: { a: [1] } });
      ctx.body = "";
    });
    const warnings = await warningsOf(async () => {
      await browser.get("/set");
      await browser.get("/set");
      await bridge.withSession(sessionId, ({ session }) => {
        Object.assign(session!, { seen: new Map(), when: new Date() });
      });
    });
    assertEquals(warnings.length, 2, warnings.join("\n"));
    assertMatch(
      String(warnings[0]),
      /an instance of Cart under the key "cart"/,
    );
    assertMatch(String(warnings[1]), /an instance of Map under the key "seen"/);
  });
});

describe("a change of a session that is not stored", () => {
  afterEach(closeServers);

  /** What is printed while `late` changes what a visit left, and others follow. */
  async function told(
    visit: (scenario: Scenario, change: (session: object) => void) => unknown,
  ): Promise<string[]> {
    return await warningsOf(async () => {
      const scenario = await startScenario({});
      await visit(scenario, (session) => {
        setTimeout(() => Object.assign(session, { [`late${++keys}`]: 1 }), 1);
      });
      await pause(150);
      await scenario.bridge.close();
    });
  }
  let keys = 0;

  it("after the handler of withSession is warned of, with its key", async () => {
    const warnings = await told(async ({ visit, bridge }, change) => {
      const { sessionId } = await visit();
      await bridge.withSession(sessionId, ({ session }) => {
        change(session!);
      });
    });
    assertEquals(warnings.length, 1, warnings.join("\n"));
    assertMatch(
      warnings[0]!,
      /under the key "late\d+" after a handler of withSession had returned/,
    );
  });

  it("after the request is warned of, with its key", async () => {
    const warnings = await told(async ({ route, browser }, change) => {
      route("/late", (ctx) => {
        ctx.session!.n = 1;
        change(ctx.session!);
        ctx.body = "";
      });
      await browser().get("/late");
    });
    assertEquals(warnings.length, 1, warnings.join("\n"));
    assertMatch(
      warnings[0]!,
      /under the key "late\d+" after its request had ended/,
    );
  });

  it("is none where a transaction of the request stores it later", async () => {
    let done: Promise<unknown> | undefined;
    const warnings = await told(async ({ visit, route, bridge }) => {
      const { browser, sessionId } = await visit();
      route("/later", (ctx) => {
        done = ctx.withSession(async ({ session }) => {
          await pause(20);
          session.later = true;
        });
        ctx.body = "";
      });
      // the visit is looked at until then
      await pause(120);
      await browser.get("/later");
      await done;
      assertEquals((await bridge.peek(sessionId))?.later, true);
    });
    assertEquals(warnings, []);
  });

  it("is none where a handler returns it, nor where nothing changes", async () => {
    const warnings = await told(async ({ visit, bridge }, change) => {
      const { sessionId } = await visit();
      const own = await bridge.withSession(
        sessionId,
        ({ session }) => session!,
      );
      change(own);
    });
    assertEquals(warnings, []);
  });
});

describe("a koa-session that is added after the bridge", () => {
  const options = { key: "sid" };
  /** koa-session in another copy: its symbols are others. */
  const copy = async () =>
    (await import(`${import.meta.resolve("koa-session")}?copy`)).default;
  const copies = {
    "of the same copy": () => Promise.resolve(koaSession),
    "of another copy": copy,
  };

  for (const [name, load] of Object.entries(copies)) {
    it(`is warned of once, and found by doctor(), ${name}`, async () => {
      const session = await load();
      let codes: string[] = [];
      const warnings = await warningsOf(async () => {
        const { browser, bridge } = await startServer({}, ({ app }) => {
          app.use(session({ ...options }, app as never) as never);
          app.use((ctx) => {
            ctx.body = "";
          });
        });
        await browser().get("/");
        await browser().get("/");
        codes = bridge.doctor().map(({ code }) => code);
      });
      assertEquals(warnings.length, 1, warnings.join("\n"));
      assertMatch(warnings[0]!, /koa-session was added .* after/);
      assert(codes.includes("second-koa-session"), codes.join());
      await closeServers();
    });
  }
});

describe("bridge.doctor()", () => {
  afterEach(closeServers);

  it("finds every-request-fails where none gets past the bridge", async () => {
    const store = fakeStore();
    const { bridge, browser } = await startServer(
      { store } as TestOptions,
      routesAndEvents,
    );
    const codes = () => bridge.doctor().map(({ code }) => code);
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    assert(!codes().includes("every-request-fails"));
    const other = await startServer(
      { store } as TestOptions,
      routesAndEvents,
    );
    store.fault = "reject";
    const bob = other.browser(ada.jar);
    for (let i = 0; i < 3; i++) {
      assertEquals((await bob.get("/session")).status, 503);
    }
    const found = other.bridge.doctor().map(({ code }) => code);
    assert(found.includes("every-request-fails"), found.join());
  });

  it("finds weak-keys", () => {
    const app = new Koa();
    app.keys = ["short"];
    const io = new Server();
    const bridge = bridgeSession(app, io, { key: "sid" });
    const found = bridge.doctor().find(({ code }) => code === "weak-keys");
    assertEquals(found?.severity, "warning");
    assert(!JSON.stringify(found).includes('short"'));
    bridge.close();
  });
});
