import type { OutgoingHttpHeaders } from "node:http";
import { afterEach, describe, it } from "@std/testing/bdd";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { warningsOf } from "../support/console.ts";
import { openPolling, poll } from "../support/polling.ts";
import { closeServers, type Stand, startServer } from "../support/server.ts";
import { until } from "../support/wait.ts";

const APP = "https://app.example";
const OTHER = "https://other.example";
const SAME = { "sec-fetch-site": "same-origin" };
const CROSS = { "sec-fetch-site": "cross-site" };

/** Sends CONNECT to the default namespace: `true` where the request was taken. */
async function sends(
  { url }: Stand,
  sid: string,
  headers: OutgoingHttpHeaders = {},
  query: Record<string, string> = {},
): Promise<boolean> {
  const { status, body } = await poll(url, {
    method: "POST",
    query: { sid, ...query },
    headers,
    body: "40",
  });
  if (status !== 200) assertStringIncludes(body, "Origin not allowed");
  assert(status === 200 || status === 403, String(status));
  return status === 200;
}

/** Polls once, with something to receive: `true` where the request was taken. */
async function receives(
  { url }: Stand,
  sid: string,
  headers: OutgoingHttpHeaders = {},
  query: Record<string, string> = {},
): Promise<boolean> {
  const { status } = await poll(url, { query: { sid, ...query }, headers });
  assert(status === 200 || status === 403, String(status));
  return status === 200;
}

/** The WebSocket upgrade of a connection. */
function upgrades(
  stand: Stand,
  sid: string,
  headers: Record<string, string>,
): Promise<number> {
  return stand.browser().upgrade(headers, { sid });
}

describe("a later polling request of a connection", () => {
  afterEach(closeServers);

  const lists = { origin: [APP, OTHER] };

  it("with the same Origin is served", async () => {
    const stand = await startServer(lists);
    const sid = await openPolling(stand.url, { origin: APP });
    assert(await sends(stand, sid, { origin: APP }));
    assert(await receives(stand, sid, { origin: APP }));
    assertEquals(await upgrades(stand, sid, { origin: APP }), 101);
  });

  it("with another Origin is refused, an allowed one too", async () => {
    const stand = await startServer(lists);
    const sid = await openPolling(stand.url, { origin: APP });
    await warningsOf(async () => {
      for (const origin of [OTHER, "null", "https://evil.example", stand.url]) {
        assertEquals(await sends(stand, sid, { origin }), false, origin);
        assertEquals(await receives(stand, sid, { origin }), false, origin);
        assertEquals(await upgrades(stand, sid, { origin }), 400, origin);
      }
    });
    assert(await sends(stand, sid, { origin: APP }));
  });

  it("without an Origin is refused where the first had a foreign one", async () => {
    const stand = await startServer(lists);
    const sid = await openPolling(stand.url, { origin: APP });
    await warningsOf(async () => {
      for (const headers of [{}, SAME, CROSS]) {
        assertEquals(await sends(stand, sid, headers), false);
        assertEquals(await receives(stand, sid, headers), false);
      }
    });
  });

  it("of the same page is served: browsers send no Origin with its GET requests", async () => {
    const stand = await startServer();
    const { url } = stand;
    for (const fetchSite of [SAME, {}]) {
      const sid = await openPolling(url, fetchSite);
      assert(await sends(stand, sid, { origin: url, ...fetchSite }));
      assert(await receives(stand, sid, fetchSite));
      // as a browser does that sends no Sec-Fetch-Site with a WebSocket
      assertEquals(await upgrades(stand, sid, { origin: url }), 101);
    }
    const sid = await openPolling(url, { origin: url });
    assert(await sends(stand, sid));
    assert(await receives(stand, sid, SAME));
  });

  it("from another site is refused where the first had no Origin", async () => {
    const stand = await startServer(lists);
    for (const fetchSite of [SAME, {}]) {
      const sid = await openPolling(stand.url, fetchSite);
      await warningsOf(async () => {
        assertEquals(await sends(stand, sid, CROSS), false);
        assertEquals(await receives(stand, sid, CROSS), false);
        for (const origin of ["https://evil.example", "null"]) {
          const headers = { origin, ...CROSS };
          assertEquals(await sends(stand, sid, headers), false, origin);
          assertEquals(await sends(stand, sid, { origin }), false, origin);
          assertEquals(await upgrades(stand, sid, { origin }), 400, origin);
        }
      });
      assert(await sends(stand, sid, fetchSite));
    }
    const sid = await openPolling(stand.url, SAME);
    await warningsOf(async () => {
      const headers = { origin: APP, ...CROSS };
      assertEquals(await sends(stand, sid, headers), false);
    });
  });

  it("settles the Origin of a connection that began without one", async () => {
    // behind a proxy that replaces the host: only the option says which origin is the page's
    const stand = await startServer(lists);
    const sid = await openPolling(stand.url);
    assert(await sends(stand, sid, { origin: APP }));
    await warningsOf(async () => {
      assertEquals(await sends(stand, sid, { origin: OTHER }), false);
    });
    assert(await receives(stand, sid));
    assertEquals(await upgrades(stand, sid, { origin: APP }), 101);
  });

  it("by JSONP is refused", async () => {
    const stand = await startServer({ origin: "any" });
    for (const headers of [{}, SAME, { origin: APP }]) {
      const sid = await openPolling(stand.url, headers);
      await warningsOf(async () => {
        assertEquals(await sends(stand, sid, headers, { j: "0" }), false);
        assertEquals(await receives(stand, sid, headers, { j: "0" }), false);
      });
      assert(await sends(stand, sid, headers));
    }
  });

  it("asks an async option once, and survives a connection that ends meanwhile", async () => {
    let asked = 0;
    let answer = (_: boolean): void => {};
    const stand = await startServer({
      origin: () => {
        asked++;
        return new Promise<boolean>((resolve) => answer = resolve);
      },
    });
    const sid = await openPolling(stand.url);
    const first = poll(stand.url, {
      method: "POST",
      query: { sid },
      headers: { origin: APP },
      body: "40",
    });
    await until(() => asked > 0, "the question");
    stand.io.engine.close();
    answer(true);
    assertEquals((await first).status, 400);
    assertEquals(asked, 1);
  });

  it("of an unknown connection is answered as by Engine.IO", async () => {
    const { url } = await startServer();
    const headers = { origin: "https://evil.example" };
    const { status, body } = await poll(url, { query: { sid: "x" }, headers });
    assertEquals(status, 400);
    assertStringIncludes(body, "Session ID unknown");
  });

  it("is Engine.IO's own business once the bridge is closed", async () => {
    const stand = await startServer(lists);
    const sid = await openPolling(stand.url, { origin: APP });
    await stand.bridge.close();
    assert(await sends(stand, sid, { origin: OTHER }));
  });
});
