import { assert, assertEquals, assertMatch } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { connect, createServer, type IncomingHttpHeaders } from "node:http2";
import { Readable } from "node:stream";
import { bridgeSession } from "@koa-io/session";
import { Server } from "socket.io";
import { createApp } from "../support/app.ts";
import { warningsOf } from "../support/console.ts";
import { KEY, SIGNING_KEY } from "../support/cookies.ts";
import {
  cacheControl,
  CLIENT_LINES,
  cookieNames,
  type HandlerContext,
  serve,
} from "../support/handler.ts";
import { closeServers } from "../support/server.ts";
import { once } from "../support/wait.ts";

describe("headers written otherwise", () => {
  afterEach(closeServers);

  const streaming: Record<string, (ctx: HandlerContext) => unknown> = {
    "by a stream": (ctx) => (ctx.body = Readable.from(["body"])),
    "by flushHeaders": (ctx) => {
      ctx.status = 200;
      ctx.flushHeaders();
    },
    "by writeHead with nothing else": (ctx) => {
      ctx.respond = false;
      ctx.res.writeHead(200).end("body");
    },
    "by writeHead with headers": (ctx) => {
      ctx.respond = false;
      ctx.res.writeHead(200, { "X-Name": "a" }).end("body");
    },
    "by writeHead with a message and a list": (ctx) => {
      ctx.respond = false;
      ctx.res.writeHead(200, "Fine", ["x-name", "a", "x-name", "b"] as never)
        .end("body");
    },
    "by write": (ctx) => {
      ctx.respond = false;
      ctx.res.write("bo");
      ctx.res.end("dy");
    },
  };
  for (const [how, handler] of Object.entries(streaming)) {
    it(`${how} have the client cookie, and are private`, async () => {
      const { browser, errors } = await serve(handler);
      const answer = await browser().get("/");
      assertEquals(cookieNames(answer), CLIENT_LINES);
      assertEquals(cacheControl(answer), "private");
      if (how.includes("list")) assertEquals(answer.headers["x-name"], "a, b");
      assertEquals(errors, []);
    });
  }

  const given: Record<string, unknown> = {
    "an object": { "Cache-Control": "public" },
    "a list": ["Cache-Control", "public"],
    "a list in two parts": [
      "cache-control",
      "max-age=60",
      "Cache-Control",
      "public",
    ],
  };
  for (const [what, headers] of Object.entries(given)) {
    it(`public by ${what} given to writeHead have no client cookie`, async () => {
      const { browser } = await serve((ctx) => {
        ctx.respond = false;
        ctx.res.writeHead(200, headers as never).end("body");
      });
      const answer = await browser().get("/");
      assertEquals(answer.setCookies, []);
      assertMatch(cacheControl(answer)!, /public$/);
    });
  }

  it("with a session cookie given to writeHead are private", async () => {
    const { browser } = await serve((ctx) => {
      ctx.respond = false;
      const cookie = `${KEY}=a; path=/`;
      ctx.res.writeHead(200, {
        "Set-Cookie": cookie,
        "Cache-Control": "public",
      })
        .end("body");
    });
    await warningsOf(async () => {
      const answer = await browser().get("/");
      assert(answer.cookie(KEY));
      assertEquals(cacheControl(answer), "private");
    });
  });

  it("before the bridge have no client cookie, without a warning", async () => {
    const { browser } = await serve(() => {}, {}, {
      prepare: ({ app }) => {
        app.use(async (ctx, next) => {
          ctx.status = 200;
          ctx.flushHeaders();
          await next();
        });
      },
    });
    const warnings = await warningsOf(async () => {
      assertEquals((await browser().get("/")).setCookies, []);
    });
    assertEquals(warnings, []);
  });

  it("with a client cookie that Koa refuses are sent without it", async () => {
    const { browser, errors } = await serve(() => {}, { domain: "not a host" });
    const answer = await browser().get("/");
    assertEquals([answer.status, answer.setCookies.length], [200, 0]);
    assertEquals(errors.length, 1);
  });
});

describe("headers of HTTP/2", () => {
  it("have the client cookie, unless they are public", async () => {
    const app = createApp();
    app.keys = [SIGNING_KEY];
    const bridge = bridgeSession(app, new Server(), { key: KEY });
    app.use((ctx) => {
      if (ctx.path === "/file") ctx.set("cache-control", "max-age=60");
      ctx.body = "body";
    });
    const server = createServer(app.callback() as never).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const client = connect(`http://127.0.0.1:${port}`);
    const headersOf = async (path: string) => {
      const request = client.request({ ":path": path });
      const [headers] = await once<[IncomingHttpHeaders]>(request, "response");
      request.resume();
      await once(request, "close");
      return headers;
    };
    const page = await headersOf("/");
    assertEquals(page["set-cookie"]?.length, 2);
    assertEquals(page["cache-control"], "private");
    const file = await headersOf("/file");
    assertEquals(file["set-cookie"], undefined);
    assertEquals(file["cache-control"], "max-age=60");
    const closed = once(server, "close");
    client.close();
    server.close();
    await closed;
    await bridge.close();
  });
});
