import { afterEach, describe, it } from "@std/testing/bdd";
import { assertEquals } from "@std/assert";
import type { TestOptions } from "../support/server.ts";
import { closeServers, startServer } from "../support/server.ts";
import { poll } from "../support/polling.ts";
import { warningsOf } from "../support/console.ts";

const APP = "https://app.example";

/** Forms of the option; none of them admits a request of another site without an Origin. */
const options: TestOptions[] = [
  {},
  { origin: "any" },
  { origin: "same" },
  { origin: [APP] },
  { origin: () => true },
];

const name = ({ origin }: TestOptions) => `origin ${origin ?? "left out"}`;

describe("a handshake without an Origin", () => {
  afterEach(closeServers);

  for (const eio3 of [false, true]) {
    const io = { allowEIO3: eio3 };
    const EIO = eio3 ? "3" : "4";
    const protocol = `with Engine.IO protocol ${EIO}`;

    for (const option of options) {
      it(`by JSONP polling is refused, ${name(option)}, ${protocol}`, async () => {
        const { url } = await startServer(option, undefined, { io });
        const query = { EIO, j: "0" };
        await warningsOf(async () => {
          assertEquals((await poll(url, { query })).status, 403);
          for (const origin of [url, APP]) {
            const headers = { origin };
            assertEquals((await poll(url, { query, headers })).status, 403);
          }
          const headers = { "sec-fetch-site": "same-origin" };
          assertEquals((await poll(url, { query, headers })).status, 403);
        });
        assertEquals((await poll(url, { query: { EIO } })).status, 200);
      });

      it(`from another site is refused, ${name(option)}, ${protocol}`, async () => {
        const stand = await startServer(option, undefined, { io });
        const query = { EIO };
        const statuses = (site: string) => {
          const headers = { "sec-fetch-site": site };
          return Promise.all([
            poll(stand.url, { query, headers }).then(({ status }) => status),
            stand.browser().upgrade(headers),
          ]);
        };
        await warningsOf(async () => {
          for (const site of ["cross-site", "same-site", "unknown"]) {
            assertEquals(await statuses(site), [403, 400], site);
          }
        });
        for (const site of ["same-origin", "none"]) {
          assertEquals(await statuses(site), [200, 101], site);
        }
      });
    }
  }

  it("over WebSocket may have a query parameter j: it is the application's", async () => {
    const { browser } = await startServer();
    const socket = await browser().connect("/", { query: { j: "1" } });
    assertEquals(socket.connected, true);
  });
});
