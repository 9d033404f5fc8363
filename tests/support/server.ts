/**
 * A server on a port of its own with Koa, Socket.IO and a bridge, and browsers for it. Runs on Deno and on Node.
 *
 * ```ts
 * describe("socket.withSession", () => {
 *   afterEach(closeServers);
 *
 *   it("sees what HTTP stored", async () => {
 *     const { browser } = await startServer({ rolling: true }, routesAndEvents);
 *     const ada = browser();
 *     await ada.post("/session", { json: { user: "ada" } });
 *     const socket = await ada.connect();
 *     assertEquals(await ada.ask(socket, "get"), { user: "ada" });
 *   });
 * });
 * ```
 *
 * (`await using` would be shorter, but Node 20 cannot read it.)
 */
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Server, type ServerOptions } from "socket.io";
import { bridgeSession } from "@koa-io/session";
import { createApp, type TestApp, type TestSession } from "./app.ts";
import { Browser } from "./browser.ts";
import { type CookieJar, KEY, SIGNING_KEY } from "./cookies.ts";
import type { Parts } from "./routes.ts";
import { pause, until } from "./wait.ts";

/** The bridge of the tests. */
export type TestBridge = ReturnType<typeof bridgeSession<TestSession>>;

/** The options that the bridge takes. */
export type TestOptions = NonNullable<
  Parameters<typeof bridgeSession<TestSession>>[2]
>;

/** Further settings of {@linkcode startServer}. */
export interface ServerConfig {
  /** Options of Socket.IO: `cors`, `connectionStateRecovery`, `allowRequest`… */
  readonly io?: Partial<ServerOptions>;
  /**
   * Whether Socket.IO is attached to the HTTP server before the bridge is made,
   * or after.
   *
   * @default {"before"}
   */
  readonly attach?: "before" | "after";
  /** `app.keys`; `false` leaves them to the bridge. */
  readonly keys?: TestApp["keys"] | false;
  /** Called before the bridge is made: for middlewares and namespaces that exist before it. */
  readonly prepare?: (parts: { app: TestApp; io: Server }) => void;
  /** Listens on this port: to start again where another server was. */
  readonly port?: number;
}

/** A server that runs. */
export interface Stand extends AsyncDisposable {
  readonly app: TestApp;
  readonly io: Server;
  readonly http: HttpServer;
  readonly bridge: TestBridge;
  /** As `http://127.0.0.1:1234`. */
  readonly url: string;
  readonly port: number;
  /** The errors of Koa's `error` event; they are not printed. */
  readonly errors: Error[];
  /** A new browser, without cookies unless a jar is given; closed with the server. */
  browser(jar?: CookieJar): Browser;
  /** Closes browsers, bridge, Socket.IO and HTTP server, and waits for it. Can be called twice. */
  close(): Promise<void>;
}

const open = new Set<Stand>();

/** Closes every server that was started: for `afterEach`. */
export async function closeServers(): Promise<void> {
  await Promise.all([...open].map((stand) => stand.close()));
}

interface Transport {
  readonly name: string;
  discard(): void;
  close(): void;
}

/** The connections of an engine, by their ids. */
type Clients = Record<string, { readonly transport: Transport }>;

/** Ends connections that engine.io keeps until a client polls again, which it does not where a test has ended. */
function discardClients({ engine }: Server): void {
  const clients = engine && Reflect.get(engine, "clients") as Clients;
  for (const { transport } of Object.values(clients ?? {})) {
    transport.discard();
    transport.close();
  }
}

/**
 * Starts a server on 127.0.0.1; {@linkcode closeServers} closes it.
 *
 * @param options of the bridge; `key` is {@linkcode KEY} unless given
 * @param setup called once the bridge is made, before `app.callback()`: middlewares, connection handlers
 * @param config everything else
 */
export async function startServer(
  options: TestOptions = {},
  setup: (parts: Parts) => void = () => {},
  config: ServerConfig = {},
): Promise<Stand> {
  const app = createApp();
  if (config.keys !== false) app.keys = config.keys ?? [SIGNING_KEY];
  const errors: Error[] = [];
  app.on("error", (error: Error) => errors.push(error));

  // the callback is made late: koa-compose copies the middlewares at app.callback()
  let callback = undefined as ReturnType<TestApp["callback"]> | undefined;
  const http = createServer((req, res) => callback?.(req, res));
  const io = new Server(config.io);
  if (config.attach !== "after") io.attach(http, config.io);
  config.prepare?.({ app, io });
  const bridge = bridgeSession<TestSession>(app, io, { key: KEY, ...options });
  if (config.attach === "after") io.attach(http, config.io);
  setup({ app, io, bridge });
  callback = app.callback();

  await new Promise<void>((resolve) =>
    http.listen(config.port ?? 0, "127.0.0.1", resolve)
  );
  const { port } = http.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const browsers: Browser[] = [];
  let hasPolls = false;
  io.engine?.on("connection", ({ transport }: { transport: Transport }) => {
    hasPolls ||= transport.name === "polling";
  });
  let closing: Promise<void> | undefined;
  const close = () => closing ??= closeAll();

  async function closeAll() {
    open.delete(stand);
    await Promise.all(browsers.map((browser) => browser.close()));
    await bridge.close();
    const ended = io.close();
    await until(() => !http.listening, "the server to stop listening");
    discardClients(io);
    // io.close() waits for them all, and a browser keeps some that it does not use
    http.closeAllConnections();
    await ended;
    // aborted polls end in timers of 0 ms, without an event, once the abort has arrived
    if (hasPolls) await pause(50);
  }

  const stand: Stand = {
    app,
    io,
    http,
    bridge,
    url,
    port,
    errors,
    browser(jar) {
      const browser = new Browser(url, jar);
      browsers.push(browser);
      return browser;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
  open.add(stand);
  return stand;
}
