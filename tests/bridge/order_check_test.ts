import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { assertEquals, assertMatch } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { Server } from "socket.io";
import { bridgeSession } from "@koa-io/session";
import { createApp, type TestApp } from "../support/app.ts";
import { Browser } from "../support/browser.ts";
import { warningsOf } from "../support/console.ts";
import { SIGNING_KEY } from "../support/cookies.ts";
import { routesAndEvents, sessionRoutes } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";
import { pause } from "../support/wait.ts";

/** Runs an HTTP server that the test wired itself, and closes everything. */
async function serving(
  parts: {
    http: HttpServer;
    io: Server;
    bridge: { close(): Promise<unknown> | unknown };
  },
  visit: (browser: Browser) => Promise<void>,
) {
  const { http, io, bridge } = parts;
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const { port } = http.address() as AddressInfo;
  const browser = new Browser(`http://127.0.0.1:${port}`);
  try {
    await visit(browser);
  } finally {
    await browser.close();
    await bridge.close();
    const closed = new Promise((resolve) => http.once("close", resolve));
    await io.close();
    http.closeAllConnections();
    await closed;
  }
}

/** An app whose callback is taken before the bridge is made, as in 2.2.0's README. */
function tooLate(attach: "before" | "after") {
  const app: TestApp = createApp();
  app.keys = [SIGNING_KEY];
  const http = createServer(app.callback());
  const io = new Server();
  if (attach === "before") io.attach(http);
  const bridge = bridgeSession(app, io);
  sessionRoutes(app as never);
  if (attach === "after") io.attach(http);
  return { http, io, bridge };
}

describe("a bridge made after app.callback()", () => {
  for (const attach of ["before", "after"] as const) {
    it(`warns once, clearly, with io attached ${attach} it`, async () => {
      const warnings = await warningsOf(() =>
        serving(tooLate(attach), async (browser) => {
          for (let i = 0; i < 3; i++) {
            assertEquals((await browser.get("/session")).status, 404);
          }
          await browser.connect();
          await pause(20);
        })
      );
      assertEquals(warnings.length, 1, warnings.join("\n"));
      assertMatch(warnings[0]!, /app\.callback\(\)/);
      assertMatch(warnings[0]!, /bridge/i);
    });
  }
});

describe("a bridge made before app.callback()", () => {
  afterEach(closeServers);

  for (const attach of ["before", "after"] as const) {
    it(`warns of nothing with io attached ${attach} it`, async () => {
      const warnings = await warningsOf(async () => {
        const { browser, close } = await startServer({}, routesAndEvents, {
          attach,
        });
        const ada = browser();
        // Socket.IO's own answers never pass Koa
        await ada.handshake();
        await ada.connect("/", { transports: ["polling"] });
        await ada.connect();
        await ada.get("/nowhere");
        await ada.post("/session", { json: { n: 1 } });
        await ada.get("/session");
        await close();
      });
      assertEquals(warnings, []);
    });
  }

  it("warns of nothing when a handler throws or the first request is a 404", async () => {
    const warnings = await warningsOf(async () => {
      const { browser, close } = await startServer({}, ({ app }) => {
        app.use((ctx) => ctx.throw(500));
      });
      const ada = browser();
      assertEquals((await ada.get("/")).status, 500);
      assertEquals((await ada.get("/")).status, 500);
      await close();
    });
    assertEquals(warnings, []);
  });
});
