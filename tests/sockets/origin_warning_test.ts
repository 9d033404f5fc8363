import { afterEach, describe, it } from "@std/testing/bdd";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { warningsOf } from "../support/console.ts";
import { openPolling, poll } from "../support/polling.ts";
import { closeServers, startServer } from "../support/server.ts";

const FOREIGN = "https://page.example";

/** The one warning that an action leads to. */
async function warningOf(action: () => Promise<unknown>): Promise<string> {
  const warnings = await warningsOf(action);
  assertEquals(warnings.length, 1, warnings.join("\n"));
  assertMatch(warnings[0]!, /^\[koa-io-session\] /);
  return warnings[0]!;
}

describe("the first refusal of an origin", () => {
  afterEach(closeServers);

  it("warns once, with the origin, the host and the cures", async () => {
    const { url } = await startServer();
    const warning = await warningOf(async () => {
      for (let i = 0; i < 3; i++) {
        await poll(url, { headers: { origin: FOREIGN } });
      }
    });
    for (
      const part of [
        `"${FOREIGN}"`,
        `"${new URL(url).host}"`,
        "option origin",
        `cors: { origin: "${FOREIGN}", credentials: true }`,
        "withCredentials",
        "app.proxy",
      ]
    ) assertStringIncludes(warning, part);
  });

  it("names the host that a proxy forwarded", async () => {
    const { url } = await startServer({}, undefined, {
      prepare: ({ app }) => void (app.proxy = true),
    });
    const warning = await warningOf(() =>
      poll(url, {
        headers: { origin: FOREIGN, "x-forwarded-host": "app.example" },
      })
    );
    assertStringIncludes(warning, '"app.example"');
  });

  it("says that JSONP was refused", async () => {
    const { url } = await startServer();
    const warning = await warningOf(() => poll(url, { query: { j: "0" } }));
    assertStringIncludes(warning, "JSONP");
  });

  it("says that a page of another site sent no Origin", async () => {
    const { url } = await startServer();
    const headers = { "sec-fetch-site": "cross-site" };
    const warning = await warningOf(() => poll(url, { headers }));
    assertStringIncludes(warning, "without an Origin");
    assertStringIncludes(warning, "cross-site");
  });

  it("names both origins of a connection", async () => {
    const { url } = await startServer({ origin: "any" });
    const sid = await openPolling(url, { origin: FOREIGN });
    const headers = { origin: "https://other.example" };
    const warning = await warningOf(() =>
      poll(url, { query: { sid }, headers })
    );
    assertStringIncludes(warning, '"https://other.example"');
    assertStringIncludes(warning, `"${FOREIGN}"`);
  });

  it("cuts a long origin short", async () => {
    const { url } = await startServer();
    const origin = `https://${"x".repeat(5000)}.example`;
    const warning = await warningOf(() => poll(url, { headers: { origin } }));
    assertEquals(warning.length < 1500, true);
  });

  it("by a preflight request warns too: no other request follows it", async () => {
    const { url } = await startServer({ origin: ["https://app.example"] });
    const warning = await warningOf(() =>
      poll(url, {
        method: "OPTIONS",
        headers: { origin: FOREIGN, "access-control-request-method": "POST" },
      })
    );
    assertStringIncludes(warning, `"${FOREIGN}"`);
  });
});
