/** Mistakes that would otherwise show much later, or never. */
import { bridgeSession } from "@koa-io/session";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import { warningsOf } from "../support/console.ts";
import { routesAndEvents } from "../support/routes.ts";
import { startScenario } from "../support/scenario.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";

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
