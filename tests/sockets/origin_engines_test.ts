import { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import { afterEach, describe, it } from "@std/testing/bdd";
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { bridgeSession } from "@koa-io/session";
import { Server } from "socket.io";
import { createApp, type TestApp } from "../support/app.ts";
import { warningsOf } from "../support/console.ts";
import { closeServers, startServer } from "../support/server.ts";
import { settles } from "../support/wait.ts";

const HOST = "app.example";
const SAME = `https://${HOST}`;
const APP = "https://page.example";
const FOREIGN = "https://evil.example";

type Headers = Readonly<Record<string, string>>;

/** What uWebSockets.js answers with; everything is kept. */
class UwsResponse {
  status = "200 OK";
  readonly headers: Record<string, string> = {};
  readonly ended: Promise<string>;
  #end!: (body: string) => void;

  constructor() {
    this.ended = new Promise((resolve) => this.#end = resolve);
  }

  getRemoteAddressAsText = () => new TextEncoder().encode("127.0.0.1").buffer;
  onAborted() {}
  onData() {}
  cork(write: () => void) {
    write();
  }
  writeStatus(status: string) {
    this.status = status;
    return this;
  }
  writeHeader(name: string, value: string) {
    this.headers[name.toLowerCase()] = value;
    return this;
  }
  end(body = "") {
    this.#end(String(body));
  }
}

/** What uWebSockets.js hands over: no `socket`, no `headers` before Engine.IO copies them. */
function uwsRequest(method: string, query: string, headers: Headers) {
  return {
    getMethod: () => method,
    getUrl: () => "/socket.io/",
    getQuery: () => query,
    getHeader: (name: string) => headers[name] ?? "",
    forEach(each: (name: string, value: string) => void) {
      for (const [name, value] of Object.entries(headers)) each(name, value);
    },
  };
}

/** An application of uWebSockets.js, as far as Socket.IO uses one. */
class UwsApp {
  #handle: ((res: UwsResponse, req: unknown) => void) | undefined;

  any(_path: string, handle: (res: UwsResponse, req: unknown) => void) {
    this.#handle = handle;
    return this;
  }
  ws() {
    return this;
  }
  get() {
    return this;
  }

  async request(method: string, query: object, headers: Headers) {
    const res = new UwsResponse();
    const search = new URLSearchParams({
      EIO: "4",
      transport: "polling",
      ...query,
    });
    this.#handle!(
      res,
      uwsRequest(method, String(search), { host: HOST, ...headers }),
    );
    const body = await settles(res.ended, "the answer");
    return { status: parseInt(res.status), headers: res.headers, body };
  }
}

describe("the origin rule on uWebSockets.js", () => {
  /** Runs an action with an application of uWebSockets.js that `io` is attached to. */
  async function withUws(
    act: (uws: UwsApp) => Promise<void>,
    options: object = {},
    prepare: (app: TestApp) => void = () => {},
  ): Promise<void> {
    const app = createApp();
    app.keys = ["key"];
    prepare(app);
    const io = new Server({ serveClient: false });
    const bridge = bridgeSession(app, io, { key: "sid", ...options });
    const uws = new UwsApp();
    io.attachApp(uws);
    try {
      await act(uws);
    } finally {
      await bridge.close();
      io.engine.close();
      await io.close();
    }
  }

  const statusOf = async (uws: UwsApp, headers: Headers, query = {}) =>
    (await uws.request("GET", query, headers)).status;

  it("compares the host; the scheme is not known", () =>
    withUws(async (uws) => {
      assertEquals(await statusOf(uws, { origin: SAME }), 200);
      assertEquals(await statusOf(uws, { origin: `http://${HOST}` }), 200);
      assertEquals(await statusOf(uws, {}), 200);
      await warningsOf(async () => {
        for (const origin of [FOREIGN, "null", `${SAME}:8443`]) {
          assertEquals(await statusOf(uws, { origin }), 403, origin);
        }
        const headers = { "sec-fetch-site": "cross-site" };
        assertEquals(await statusOf(uws, headers), 403);
        assertEquals(await statusOf(uws, {}, { j: "0" }), 403);
      });
    }));

  it("compares what a proxy forwards, with app.proxy", () =>
    withUws(
      async (uws) => {
        const forwarded = {
          "x-forwarded-host": "public.example",
          "x-forwarded-proto": "https",
        };
        const origin = "https://public.example";
        assertEquals(await statusOf(uws, { origin, ...forwarded }), 200);
        await warningsOf(async () => {
          const origin = "http://public.example";
          assertEquals(await statusOf(uws, { origin, ...forwarded }), 403);
          assertEquals(
            await statusOf(uws, { origin: SAME, ...forwarded }),
            403,
          );
        });
      },
      {},
      (app) => void (app.proxy = true),
    ));

  it("names in its warning what came, and the host", () =>
    withUws(async (uws) => {
      const [warning = ""] = await warningsOf(() =>
        statusOf(uws, { origin: FOREIGN })
      );
      assertStringIncludes(warning, FOREIGN);
      assertStringIncludes(warning, HOST);
    }));

  it("holds later requests to the origin, and sends CORS headers", () =>
    withUws(async (uws) => {
      const opened = await uws.request("GET", {}, { origin: APP });
      assertEquals(opened.status, 200);
      assertEquals(opened.headers["access-control-allow-origin"], APP);
      const { sid } = JSON.parse(opened.body.slice(1));
      await warningsOf(async () => {
        for (const headers of [{ origin: FOREIGN }, {}] as Headers[]) {
          assertEquals(await statusOf(uws, headers, { sid }), 403);
        }
      });
      const preflight = await uws.request("OPTIONS", {}, {
        origin: APP,
        "access-control-request-method": "POST",
      });
      assertEquals(preflight.status, 204);
      assertEquals(preflight.headers["access-control-allow-origin"], APP);
    }, { origin: [APP] }));
});

/** A session of WebTransport with one stream, as Engine.IO reads it. */
function webTransport() {
  const toServer = new TransformStream<Uint8Array, Uint8Array>();
  const toClient = new TransformStream<Uint8Array, Uint8Array>();
  const stream = { readable: toServer.readable, writable: toClient.writable };
  let close = () => {};
  const closed = new Promise<void>((resolve) => close = resolve);
  const session = {
    closed,
    close,
    incomingBidirectionalStreams: new ReadableStream({
      start: (controller) => controller.enqueue(stream),
    }),
  };
  const writer = toServer.writable.getWriter();
  const reader = toClient.readable.getReader();
  return {
    session,
    /** Sends packets of text, each shorter than 126 bytes. */
    async send(...packets: string[]) {
      for (const packet of packets) {
        const bytes = new TextEncoder().encode(packet);
        await writer.write(new Uint8Array([bytes.length, ...bytes]));
      }
    },
    /** What the server sends, until it has sent this text. */
    async receive(text: string): Promise<string> {
      let received = "";
      while (!received.includes(text)) {
        const { value, done } = await reader.read();
        if (done) break;
        received += new TextDecoder().decode(value);
      }
      return received;
    },
  };
}

describe("the origin rule on WebTransport", () => {
  afterEach(closeServers);

  for (const origin of [undefined, "any"] as const) {
    it(`refuses by name a socket that has no request, origin ${origin}`, async () => {
      const { io } = await startServer({ origin });
      let connections = 0;
      io.on("connection", () => connections++);
      const client = webTransport();
      const warnings = await warningsOf(async () => {
        // with a middleware Engine.IO itself closes such a session
        Reflect.set(io.engine, "middlewares", []);
        io.engine.onWebTransportSession(client.session);
        await client.send("0", "40");
        const received = await settles(client.receive("}}"), "the answer");
        assertStringIncludes(received, "44");
        assertStringIncludes(received, "WebTransport");
        assertStringIncludes(received, "SESSION_HANDSHAKE");
      });
      assertEquals(connections, 0);
      assertEquals(warnings.length, 1);
      assertStringIncludes(warnings[0]!, "WebTransport");
    });
  }

  it("refuses by name a socket whose request the application removed", async () => {
    const { io, browser } = await startServer();
    io.engine.on("connection", (connection: { request: unknown }) => {
      connection.request = null;
    });
    await warningsOf(async () => {
      const error = await browser().connect().catch((error) => error);
      assertStringIncludes(error.message, "must have a request");
      assertEquals(error.data.code, "SESSION_HANDSHAKE");
    });
  });
});

describe("an engine that is not Engine.IO's own", () => {
  /** The shape of `@socket.io/bun-engine`. */
  class BunEngine extends EventEmitter {
    readonly opts = {};
    readonly clients = new Map();
    verify(_req: IncomingMessage, _url: URL) {
      return Promise.resolve();
    }
  }

  it("is refused by name by a bridge that is made later", async () => {
    const app = createApp();
    const io = new Server();
    io.bind(new BunEngine() as never);
    const error = assertThrows(
      () => bridgeSession(app, io, { appKeys: ["key"] }),
      TypeError,
      "@socket.io/bun-engine",
    );
    assertStringIncludes(error.message, "Cannot bridge sessions as io");
    assertEquals(app.keys, undefined);
    await io.close().catch(() => {});
  });

  it("is refused by name when io is bound to it", async () => {
    const io = new Server();
    const bridge = bridgeSession(createApp(), io, { appKeys: ["key"] });
    assertThrows(
      () => io.bind(new BunEngine() as never),
      TypeError,
      "@socket.io/bun-engine",
    );
    await bridge.close();
  });
});
