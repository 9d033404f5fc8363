import { afterEach, describe, it } from "@std/testing/bdd";
import { assert, assertEquals } from "@std/assert";
import { warningsOf } from "../support/console.ts";
import { openPolling, poll } from "../support/polling.ts";
import { connectPair, startScenario } from "../support/scenario.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";

const APP = "http://localhost:5173";
const FOREIGN = "https://evil.example";

/** The CORS headers of an answer, by the end of their names. */
function corsOf(headers: Record<string, unknown>): Record<string, unknown> {
  const prefix = "access-control-allow-";
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => name.startsWith(prefix)).map((
      [name, value],
    ) => [name.slice(prefix.length), value]),
  );
}

const ALLOWED = { origin: APP, credentials: "true" };

const options: [name: string, origin: TestOptions["origin"]][] = [
  ["a list", [APP]],
  ["a RegExp", /http:\/\/localhost:\d+/],
  ["a function", (origin) => origin === APP],
  ["an async function", (origin) => Promise.resolve(origin === APP)],
  ['"any"', "any"],
];

describe("the option origin, without a policy cors", () => {
  afterEach(closeServers);

  for (const attach of ["before", "after"] as const) {
    for (const [name, origin] of options) {
      it(`as ${name} is enough for a browser that polls, attached ${attach}`, async () => {
        const { url } = await startServer({ origin }, undefined, { attach });
        const headers = { origin: APP };
        const opened = await poll(url, { headers });
        assertEquals(opened.status, 200);
        assertEquals(corsOf(opened.headers), ALLOWED);
        assertEquals(opened.headers.vary, "Origin");
        const { sid } = JSON.parse(opened.body.slice(1));
        for (const method of ["POST", "GET"]) {
          const answer = await poll(url, {
            method,
            query: { sid },
            headers,
            ...method === "POST" && { body: "40" },
          });
          assertEquals(answer.status, 200);
          assertEquals(corsOf(answer.headers), ALLOWED, method);
        }
      });

      it(`as ${name} answers a preflight request, attached ${attach}`, async () => {
        const { url } = await startServer({ origin }, undefined, { attach });
        const answer = await poll(url, {
          method: "OPTIONS",
          headers: {
            origin: APP,
            "access-control-request-method": "POST",
            "access-control-request-headers": "x-one, x-two",
          },
        });
        assertEquals(answer.status, 204);
        assertEquals(corsOf(answer.headers), {
          ...ALLOWED,
          methods: "GET,POST",
          headers: "x-one, x-two",
        });
        assertEquals(
          answer.headers.vary,
          "Origin, Access-Control-Request-Headers",
        );
      });
    }
  }

  it("sends nothing to an origin that it refuses", async () => {
    const { url } = await startServer({ origin: [APP] });
    await warningsOf(async () => {
      const headers = { origin: FOREIGN };
      const answer = await poll(url, { headers });
      assertEquals([answer.status, corsOf(answer.headers)], [403, {}]);
      const preflight = await poll(url, {
        method: "OPTIONS",
        headers: { ...headers, "access-control-request-method": "POST" },
      });
      assertEquals([preflight.status, corsOf(preflight.headers)], [400, {}]);
    });
  });

  it("asks a function once for each connection", async () => {
    let asked = 0;
    const { url } = await startServer({ origin: () => ++asked > 0 });
    const headers = { origin: APP };
    const sid = await openPolling(url, headers);
    await poll(url, { method: "POST", query: { sid }, headers, body: "40" });
    await poll(url, { query: { sid }, headers });
    assertEquals(asked, 1);
  });

  it("leaves what a middleware of the engine has set", async () => {
    const { url } = await startServer({ origin: [APP] }, undefined, {
      prepare: ({ io }) =>
        io.engine.use((
          _req: unknown,
          res: { setHeader(name: string, value: string): void },
          next: () => void,
        ) => {
          res.setHeader("Access-Control-Allow-Origin", "https://own.example");
          res.setHeader("Vary", "Accept");
          next();
        }),
    });
    const { headers } = await poll(url, { headers: { origin: APP } });
    assertEquals(corsOf(headers), { origin: "https://own.example" });
    assertEquals(headers.vary, "Accept");
  });

  it("keeps what is in Vary already", async () => {
    const { url } = await startServer({ origin: [APP] }, undefined, {
      prepare: ({ io }) =>
        io.engine.use((
          _req: unknown,
          res: { setHeader(name: string, value: string): void },
          next: () => void,
        ) => {
          res.setHeader("Vary", "Accept");
          next();
        }),
    });
    const { headers } = await poll(url, { headers: { origin: APP } });
    assertEquals(headers.vary, "Accept, Origin");
  });

  for (const origin of ["same", "cors"] as const) {
    it(`as "${origin}" names no origin, and sends no header`, async () => {
      const { url } = await startServer({ origin });
      const { headers } = await poll(url, { headers: { origin: url } });
      assertEquals(corsOf(headers), {});
      assertEquals(headers.vary, undefined);
    });
  }

  it("stops with the bridge", async () => {
    const { url, bridge } = await startServer({ origin: [APP] });
    await bridge.close();
    const { headers } = await poll(url, { headers: { origin: APP } });
    assertEquals(corsOf(headers), {});
  });

  it("gives a page of another origin its session, polling and WebSocket", async () => {
    await using scenario = await startScenario({ origin: [APP] });
    const { browser, sessionId } = await scenario.visit();
    for (const transports of [["polling"], ["polling", "websocket"]]) {
      const { client, server } = await connectPair(scenario, browser, "/", {
        headers: { origin: APP },
        transports,
      });
      assertEquals(server.sessionId, sessionId);
      if (transports.length === 1) continue;
      if (client.io.engine.transport.name !== "websocket") {
        await new Promise<void>((resolve) =>
          client.io.engine.once("upgrade", () => resolve())
        );
      }
      assertEquals(await browser.ask(client, "get"), { n: 0 });
    }
  });
});

describe("the option origin, with a policy cors", () => {
  afterEach(closeServers);

  it("leaves the headers to the policy", async () => {
    const { url } = await startServer({ origin: [APP] }, undefined, {
      io: { cors: { origin: "https://other.example" } },
    });
    const { status, headers } = await poll(url, { headers: { origin: APP } });
    assertEquals(status, 200);
    assert(!("credentials" in corsOf(headers)));
    assertEquals(corsOf(headers).origin, "https://other.example");
  });
});
