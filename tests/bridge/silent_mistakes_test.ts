/** Mistakes that would otherwise show much later, or never. */
import { bridgeSession } from "@koa-io/session";
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
// @ts-types="@types/koa"
import Koa from "koa";
import koaSession from "koa-session";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
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

  it("is found inside of others, and among functions", async () => {
    const { visit, route, bridge } = await startScenario({});
    const { browser, sessionId } = await visit();
    route("/inside", (ctx) => {
      Object.assign(ctx.session!, {
        deep: { tags: new Set() },
        list: [{ of: new Map() }, { of: new Map() }],
        call() {},
        text: "changed",
      });
      ctx.body = "";
    });
    const warnings = await warningsOf(async () => {
      await browser.get("/inside");
      await bridge.withSession(sessionId, ({ session }) => {
        Object.assign(session!, { n: 2, run() {}, a: { b: { c: undefined } } });
      });
    });
    const found = warnings.map((text) =>
      text.match(/was given (.*), which/)?.[1]
    );
    assertEquals(found, [
      'a function under the key "call"',
      'an instance of Set under the key "deep.tags"',
      'an instance of Map under the key "list[].of"',
      'a function under the key "run"',
      'undefined under the key "a.b.c"',
    ]);
  });

  it("is looked for among the first hundred only", async () => {
    const { visit, bridge } = await startScenario({});
    const { sessionId } = await visit();
    const store = (length: number) =>
      bridge.withSession(sessionId, ({ session }) => {
        const many = Array.from({ length }, () => ({}));
        Object.assign(session!, { many, [`last${length}`]: { of: new Map() } });
      });
    assertEquals((await warningsOf(() => store(90))).length, 1);
    assertEquals((await warningsOf(() => store(1_000))).length, 0);
  });
});

describe("a value that JSON cannot hold", () => {
  afterEach(closeServers);
  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  const values: Record<string, [value: unknown, reason: RegExp]> = {
    "a BigInt": [10n, /BigInt/],
    "a cycle": [cyclic, /circular/],
    "a cycle inside": [{ a: [cyclic] }, /circular/],
  };

  for (const [name, [value, reason]] of Object.entries(values)) {
    it(`is refused with its key, over HTTP and in a transaction: ${name}`, async () => {
      const { visit, route, bridge, app } = await startScenario({});
      const { browser, sessionId } = await visit({ n: 1 });
      const errors: Error[] = [];
      app.on("error", (error) => errors.push(error));
      route("/set", (ctx) => {
        ctx.session!.cart = value;
        ctx.body = "";
      });
      assertEquals((await browser.get("/set")).status, 500);
      const error = await assertRejects(
        () =>
          bridge.withSession(sessionId, ({ session }) => {
            session!.cart = value;
          }),
        TypeError,
      );
      assertEquals(errors.length, 1);
      for (const { message, cause } of [errors[0]!, error]) {
        assertMatch(
          message,
          /^Cannot write the session as JSON cannot hold what is under the key "cart": .+$/,
        );
        assertMatch(message, reason);
        assert(cause instanceof TypeError);
      }
      assertEquals(await bridge.peek(sessionId), { n: 1 });
    });
  }

  it("leaves alone what a toJSON throws", async () => {
    const { visit, bridge } = await startScenario({});
    const { sessionId } = await visit();
    const fault = new RangeError("mine");
    const error = await assertRejects(() =>
      bridge.withSession(sessionId, ({ session }) => {
        session!.cart = {
          toJSON() {
            throw fault;
          },
        };
      })
    );
    assertEquals(error, fault);
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

  it("finds not-attached once requests come", async () => {
    const app = new Koa();
    const io = new Server();
    const bridge = bridgeSession(app, io, {
      key: "sid",
      appKeys: ["a long secret that stays the same"],
    });
    const http = createServer(app.callback());
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    const { port } = http.address() as AddressInfo;
    const found = () =>
      bridge.doctor().find(({ code }) => code === "not-attached")?.severity;
    assertEquals(found(), undefined);
    await (await fetch(`http://127.0.0.1:${port}`)).text();
    assertEquals(found(), "error");
    io.attach(http);
    assertEquals(found(), undefined);
    await bridge.close();
    await io.close();
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
