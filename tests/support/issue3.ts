/**
 * What the tests of transactions, lives and ends have in common: a server
 * whose routes can be added while it runs, visitors with a session, and both
 * ends of a socket.
 */
import type { ServerResponse } from "node:http";
import type {
  AtomicStore,
  EndReason,
  SessionData,
  SessionRecord,
  StoredRecord,
} from "@koa-io/session";
import { SessionStore } from "@koa-io/session";
import {
  type Answer,
  type Browser,
  type ClientSocket,
  type ConnectOptions,
  KEY,
  type ServerConfig,
  sessionEvents,
  sessionRoutes,
  type Stand,
  startServer,
  type TestContext,
  type TestOptions,
  type TestSession,
  type TestSocket,
  until,
} from "./harness.ts";

export * from "./harness.ts";

/** A Koa context with its answer within reach. */
export type SceneContext = TestContext & { readonly res: ServerResponse };

/** A running server with the routes and events of the harness, and more routes at any time. */
export interface Scene extends Stand {
  /** Answers this path with what the handler returns. */
  route(path: string, handler: (ctx: SceneContext) => unknown): void;
  /** A browser that has begun a session with this data and brought its cookie back once. */
  visit(session?: TestSession): Promise<Visitor>;
  /** How and when a session ended, or will end. */
  ended(sessionId: string): Promise<{ reason: EndReason; at: number }>;
  /** The session as the bridge knows it, `undefined` when there is none. */
  peek(sessionId: string): Promise<TestSession | undefined>;
}

/** Both ends of one socket. */
export interface Line {
  readonly client: ClientSocket;
  readonly server: TestSocket;
}

/** One browser with a session. */
export interface Visitor {
  readonly browser: Browser;
  readonly sessionId: string;
  readonly clientId: string;
  /** Connects a socket with the browser's cookies. */
  connect(namespace?: string, options?: ConnectOptions): Promise<Line>;
}

/** Starts a {@linkcode Scene}. */
export async function startScene(
  options: TestOptions = {},
  config: ServerConfig = {},
): Promise<Scene> {
  const routes = new Map<string, (ctx: SceneContext) => unknown>();
  const stand = await startServer(options, ({ app, io }) => {
    sessionRoutes(app);
    sessionEvents(io);
    app.use(async (ctx: SceneContext) => {
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
          connectLine(stand, browser, namespace, connectOptions),
      };
    },
    async peek(sessionId) {
      return await stand.bridge.peek(sessionId) ?? undefined;
    },
  };
}

/** Connects a browser's socket and finds its other end. */
export async function connectLine(
  stand: Stand,
  browser: Browser,
  namespace = "/",
  options: ConnectOptions = {},
): Promise<Line> {
  const client = await browser.connect(namespace, options);
  return { client, server: serverEnd(stand, client, namespace) };
}

/** The server's end of a connected client socket. */
export function serverEnd(
  stand: Stand,
  client: ClientSocket,
  namespace = "/",
): TestSocket {
  const server = stand.io.of(namespace).sockets.get(client.id!);
  if (!server) throw new Error("Cannot find the server's end of the socket");
  return server as unknown as TestSocket;
}

/** A transaction's handler that counts up `n`, with a gap in which a lost update would show. */
export async function increment(
  sessionCtx: { session: TestSession | null },
): Promise<number> {
  const n = sessionCtx.session!.n ?? 0;
  await Promise.resolve();
  sessionCtx.session!.n = n + 1;
  return n + 1;
}

/** Whether an answer says anything about the session cookie or its signature. */
export function mentionsSession(answer: Answer, key: string = KEY): boolean {
  return answer.cookie(key) !== undefined ||
    answer.cookie(`${key}.sig`) !== undefined;
}

/** The `code` of a promise's error, `undefined` when it is fulfilled. */
export async function codeOf(
  promise: PromiseLike<unknown>,
): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/**
 * Runs an action and clears the intervals that were begun meanwhile: Socket.IO's
 * adapter for connection state recovery never clears its own.
 */
export async function clearingIntervals(
  action: () => Promise<void>,
): Promise<void> {
  const { setInterval } = globalThis;
  const begun: ReturnType<typeof setInterval>[] = [];
  const patched = (...args: Parameters<typeof setInterval>) => {
    const interval = setInterval(...args);
    begun.push(interval);
    return interval;
  };
  globalThis.setInterval = patched as typeof setInterval;
  try {
    await action();
  } finally {
    globalThis.setInterval = setInterval;
    for (const interval of begun) clearInterval(interval);
  }
}

/** How a store of the tests answers: as it should, with an error, not at all, or only after something else. */
export type Mood = "well" | "failing" | "hanging" | Promise<void>;

/** The error that a failing store answers with. */
export class StoreDown extends Error {
  override readonly name = "StoreDown";
}

/** What both faulty stores can be told. */
abstract class Moody {
  /** By operation; what is not named is well. */
  moods: Record<string, Mood> = {};
  /** How many calls were left hanging. */
  hung = 0;
  /** What was asked: `[operation, sid]`. */
  readonly calls: [operation: string, sid: string][] = [];

  /** Makes every operation answer like this. */
  all(mood: Mood): void {
    this.moods = new Proxy({}, { get: () => mood });
  }

  protected async answer<T>(
    operation: string,
    sid: string,
    act: () => T,
  ): Promise<T> {
    this.calls.push([operation, sid]);
    const mood = this.moods[operation] ?? "well";
    if (mood === "failing") throw new StoreDown(`${operation} is down`);
    if (mood === "hanging") {
      this.hung++;
      return await new Promise<never>(() => {});
    }
    if (mood !== "well") await mood;
    return act();
  }
}

/** A store of the basic tier, as users write them, whose faults can be switched on and off. */
export class FaultyBasicStore extends Moody {
  readonly entries: Map<string, string> = new Map();

  get(sid: string): Promise<SessionData | undefined> {
    return this.answer("get", sid, () => {
      const text = this.entries.get(sid);
      return text === undefined ? undefined : JSON.parse(text);
    });
  }

  set(sid: string, session: SessionData): Promise<void> {
    const text = JSON.stringify(session);
    return this.answer("set", sid, () => void this.entries.set(sid, text));
  }

  destroy(sid: string): Promise<void> {
    return this.answer("destroy", sid, () => void this.entries.delete(sid));
  }
}

/** A store of the atomic tier, whose faults can be switched on and off. */
export class FaultyAtomicStore extends Moody implements AtomicStore {
  readonly scope = "process";
  readonly inner: SessionStore = new SessionStore({ autoCleanup: false });

  read(sid: string): Promise<StoredRecord | undefined> {
    return this.answer("read", sid, () => this.inner.read(sid));
  }

  write(sid: string, record: SessionRecord, expected: string | number | null) {
    return this.answer(
      "write",
      sid,
      () => this.inner.write(sid, record, expected),
    );
  }

  begin(sid: string, record: SessionRecord) {
    return this.answer("write", sid, () => this.inner.begin(sid, record));
  }

  extend(sid: string, expires: number): Promise<boolean> {
    return this.answer("extend", sid, () => this.inner.extend(sid, expires));
  }

  destroy(sid: string, options?: { readonly movedTo?: string }) {
    return this.answer("destroy", sid, () => this.inner.destroy(sid, options));
  }

  movedTo(sid: string): Promise<string | undefined> {
    return this.answer("movedTo", sid, () => this.inner.movedTo(sid));
  }

  byClient(clientId: string): Promise<string | undefined> {
    return this.answer(
      "byClient",
      clientId,
      () => this.inner.byClient(clientId),
    );
  }

  byUser(user: string): Promise<readonly string[]> {
    return this.answer("byUser", user, () => this.inner.byUser(user));
  }

  get(sid: string): Promise<SessionData | undefined> {
    return this.answer("get", sid, () => this.inner.get(sid));
  }

  set(sid: string, session: SessionData, maxAge?: number | "session") {
    return this.answer("set", sid, () => this.inner.set(sid, session, maxAge));
  }
}
