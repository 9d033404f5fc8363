import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import Koa from "koa";
import { Server, type ServerOptions } from "socket.io";
import { describe, it } from "@std/testing/bdd";
import { assertEquals } from "@std/assert";
import { bridgeSession } from "@koa-io/session";
import { Browser } from "../support/browser.ts";
import { KEY, SIGNING_KEY } from "../support/cookies.ts";
import { unhandledIn } from "../support/errors.ts";

type AllowRequest = NonNullable<ServerOptions["allowRequest"]>;
type Place =
  | "the constructor"
  | "attach() before the bridge"
  | "attach() after the bridge";

/** A server whose `allowRequest` is given to one place only. */
async function withAllowRequest(
  place: Place,
  allowRequest: AllowRequest,
  visit: (browser: Browser) => Promise<void>,
): Promise<void> {
  const app = new Koa();
  app.keys = [SIGNING_KEY];
  // there before Engine.IO is, which then keeps its own requests from it
  const koa: { callback?: ReturnType<typeof app.callback> } = {};
  const http = createServer((req, res) => void koa.callback?.(req, res));
  const io = new Server(place === "the constructor" ? { allowRequest } : {});
  if (place === "the constructor") io.attach(http);
  if (place === "attach() before the bridge") io.attach(http, { allowRequest });
  const bridge = bridgeSession(app, io, { key: KEY });
  if (place === "attach() after the bridge") io.attach(http, { allowRequest });
  koa.callback = app.callback();
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const { port } = http.address() as AddressInfo;
  const browser = new Browser(`http://127.0.0.1:${port}`);
  try {
    await visit(browser);
  } finally {
    await browser.close();
    await bridge.close();
    const closed = new Promise<void>((resolve) => http.once("close", resolve));
    await io.close();
    http.closeAllConnections();
    await closed;
  }
}

/** `[polling, websocket]` as the server answers a handshake. */
async function statuses(
  browser: Browser,
  headers: Record<string, string> = {},
): Promise<number[]> {
  return [
    (await browser.handshake(headers)).status,
    await browser.upgrade(headers),
  ];
}

const byHeader = (req: IncomingMessage) => req.headers["x-pass"] === "yes";

for (
  const place of [
    "the constructor",
    "attach() before the bridge",
    "attach() after the bridge",
  ] as const
) {
  describe(`allowRequest given to ${place}`, () => {
    it("still runs, and refuses what it refused", async () => {
      let asked = 0;
      await withAllowRequest(place, (req, done) => {
        asked++;
        done(byHeader(req) ? null : "not you", byHeader(req));
      }, async (browser) => {
        assertEquals(await statuses(browser), [403, 400]);
        assertEquals(await statuses(browser, { "x-pass": "yes" }), [200, 101]);
        assertEquals(asked, 4);
      });
    });

    it("does not let in what the origin rule refuses", async () => {
      await withAllowRequest(
        place,
        (_req, done) => done(null, true),
        async (browser) => {
          assertEquals(
            await statuses(browser, { origin: "https://evil.example" }),
            [403, 400],
          );
          assertEquals(await statuses(browser, { origin: browser.url }), [
            200,
            101,
          ]);
        },
      );
    });

    it("may be async; one that throws is a refusal", async () => {
      const unhandled = await unhandledIn(() =>
        withAllowRequest(
          place,
          (async (req, done) => {
            await Promise.resolve();
            if (!byHeader(req)) throw new Error("broken");
            done(null, true);
          }) as AllowRequest,
          async (browser) => {
            assertEquals(await statuses(browser), [403, 400]);
            assertEquals(await statuses(browser, { "x-pass": "yes" }), [
              200,
              101,
            ]);
          },
        )
      );
      assertEquals(unhandled, []);
    });

    it("that throws at once is a refusal", async () => {
      await withAllowRequest(place, () => {
        throw new Error("broken");
      }, async (browser) => {
        assertEquals(await statuses(browser), [403, 400]);
      });
    });
  });
}
