import { assertEquals, assertStringIncludes } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { Server } from "socket.io";
import { bridgeSession, type SessionBridge } from "@koa-io/session";
import { createApp } from "../support/app.ts";
import { warningsOf } from "../support/console.ts";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";

/** Makes a bridge without clients. */
function construct(options: Record<string, unknown>): SessionBridge {
  const app = createApp();
  app.keys = ["k"];
  return bridgeSession(app, new Server(), options as never) as SessionBridge;
}

describe("bridgeSession options that are unknown", () => {
  afterEach(closeServers);

  it("go on to both cookies", async () => {
    const { browser } = await startServer(
      { priority: "high", path: "/" } as TestOptions,
      routesAndEvents,
    );
    const answer = await browser().post("/session", { json: { n: 1 } });
    assertEquals(answer.cookie(KEY)?.attributes.priority, "high");
    assertEquals(answer.cookie(CLIENT_KEY)?.attributes.priority, "high");
  });

  const misspelt: Record<string, string> = {
    onSesionEnd: "onSessionEnd",
    samesite: "sameSite",
    same_site: "sameSite",
    orign: "origin",
    onuserchange: "onUserChange",
    maxSession: "maxSessions",
    uesr: "user",
    absoluteMaxage: "absoluteMaxAge",
    beforesave: "beforeSave",
    autocommit: "autoCommit",
    httponly: "httpOnly",
    patitioned: "partitioned",
  };
  for (const [name, meant] of Object.entries(misspelt)) {
    it(`are warned of once when they are close to one: ${name}`, async () => {
      const bridges: SessionBridge[] = [];
      const warnings = await warningsOf(() => {
        bridges.push(construct({ [name]: "x" }));
      });
      assertEquals(warnings.length, 1);
      assertStringIncludes(warnings[0]!, `"${name}" (did you mean ${meant}?)`);
      await Promise.all(bridges.map((bridge) => bridge.close()));
    });
  }

  it("are not warned of when they are close to none, known or left out", async () => {
    const names = ["resave", "saveUninitialized", "cookie", "name", "secret"];
    const known = ["priority", "partitioned", "expires", "secureProxy"];
    const options = Object.fromEntries([...names, ...known].map((n) => [n, 1]));
    const warnings = await warningsOf(async () => {
      await construct({ ...options, orign: undefined, uesr: null }).close();
    });
    assertEquals(warnings, []);
  });
});

describe("the option sameSite", () => {
  afterEach(closeServers);

  const results: [boolean, string | undefined][] = [
    [true, "strict"],
    [false, undefined],
  ];
  for (const [sameSite, expected] of results) {
    it(`as ${sameSite} sets ${expected ?? "nothing"}`, async () => {
      const { browser } = await startServer({ sameSite }, routesAndEvents);
      const answer = await browser().post("/session", { json: { n: 1 } });
      for (const name of [KEY, CLIENT_KEY]) {
        assertEquals(answer.cookie(name)?.attributes.samesite, expected);
      }
    });
  }
});
