/** A server that a test adds routes to while it runs, and visitors with a session. */
import type { ServerResponse } from "node:http";
import type { EndReason } from "@koa-io/session";
import {
  serverSocketOf,
  type TestContext,
  type TestSession,
  type TestSocket,
} from "./app.ts";
import type { Browser, ClientSocket, ConnectOptions } from "./browser.ts";
import { sessionEvents, sessionRoutes } from "./routes.ts";
import {
  type ServerConfig,
  type Stand,
  startServer,
  type TestOptions,
} from "./server.ts";
import { until } from "./wait.ts";

/** A Koa context with Node's response. */
export type ScenarioContext = TestContext & { readonly res: ServerResponse };

/** A running server with the usual routes and events, and further routes at any time. */
export interface Scenario extends Stand {
  /** Answers this path with what the handler returns. */
  route(path: string, handler: (ctx: ScenarioContext) => unknown): void;
  /** A browser that has begun a session with this data and presented its cookie once. */
  visit(session?: TestSession): Promise<Visitor>;
  /** Waits for the end of a session: its reason and time. */
  ended(sessionId: string): Promise<{ reason: EndReason; at: number }>;
  /** The session as the bridge reads it, `undefined` when there is none. */
  peek(sessionId: string): Promise<TestSession | undefined>;
}

/** Both ends of one socket. */
export interface SocketPair {
  readonly client: ClientSocket;
  readonly server: TestSocket;
}

/** One browser with a session. */
export interface Visitor {
  readonly browser: Browser;
  readonly sessionId: string;
  readonly clientId: string;
  /** Connects a socket with the browser's cookies. */
  connect(namespace?: string, options?: ConnectOptions): Promise<SocketPair>;
}

/** Starts a {@linkcode Scenario}. */
export async function startScenario(
  options: TestOptions = {},
  config: ServerConfig = {},
): Promise<Scenario> {
  const routes = new Map<string, (ctx: ScenarioContext) => unknown>();
  const stand = await startServer(options, ({ app, io }) => {
    sessionRoutes(app);
    sessionEvents(io);
    app.use(async (ctx: ScenarioContext) => {
      const handler = routes.get(ctx.path);
      if (!handler) return;
      const result = await handler(ctx);
      if (!ctx.res.headersSent) ctx.body = result ?? "done";
    });
  }, config);
  const ends = new Map<string, { reason: EndReason; at: number }>();
  stand.bridge.on("sessionEnd", ({ sessionId, reason }) => {
    ends.set(sessionId, { reason, at: Date.now() });
  });
  return {
    ...stand,
    async ended(sessionId) {
      await until(() => ends.has(sessionId), `the end of ${sessionId}`);
      return ends.get(sessionId)!;
    },
    route: (path, handler) => void routes.set(path, handler),
    async visit(session = { n: 0 }) {
      const browser = stand.browser();
      await browser.post("/session", { json: session });
      const { sessionId, clientId } = (await browser.get("/session")).json;
      return {
        browser,
        sessionId,
        clientId,
        connect: (namespace, connectOptions) =>
          connectPair(stand, browser, namespace, connectOptions),
      };
    },
    async peek(sessionId) {
      return await stand.bridge.peek(sessionId) ?? undefined;
    },
  };
}

/** Connects a browser's socket and finds its other end. */
export async function connectPair(
  stand: Stand,
  browser: Browser,
  namespace = "/",
  options: ConnectOptions = {},
): Promise<SocketPair> {
  const client = await browser.connect(namespace, options);
  return { client, server: serverSocketOf(stand.io, client, namespace) };
}
