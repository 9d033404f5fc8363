/** Routes and socket events through which a test works on a session from outside. */
import type { Server } from "socket.io";
import {
  type Connectable,
  onConnection,
  type TestApp,
  type TestSession,
} from "./app.ts";
import type { TestBridge } from "./server.ts";

/** What {@linkcode startServer} hands to its `setup`. */
export interface Parts {
  readonly app: TestApp;
  readonly io: Server;
  readonly bridge: TestBridge;
}

/** The `setup` that most tests want: {@linkcode sessionRoutes} and {@linkcode sessionEvents}. */
export function routesAndEvents({ app, io }: Parts): void {
  sessionRoutes(app);
  sessionEvents(io);
}

/**
 * Routes that most tests need. All answer JSON `{ session, sessionId, clientId }` with the values at the end of the handler.
 *
 * - `GET /` touches nothing: `session` is left out
 * - `GET /session` reads the session
 * - `POST /session` merges its JSON body into the session (a new one is begun)
 * - `POST /replace` makes its JSON body the session
 * - `POST /logout` sets the session to `null`
 */
export function sessionRoutes(app: TestApp): void {
  app.use(async (ctx, next) => {
    switch (`${ctx.method} ${ctx.path}`) {
      case "GET /":
        ctx.body = { sessionId: ctx.sessionId, clientId: ctx.clientId };
        return;
      case "GET /session":
        break;
      case "POST /session":
        Object.assign(ctx.session!, await readJson(ctx.req));
        break;
      case "POST /replace":
        ctx.session = await readJson(ctx.req) as typeof ctx.session;
        break;
      case "POST /logout":
        ctx.session = null;
        break;
      default:
        return await next();
    }
    ctx.body = {
      session: ctx.session,
      sessionId: ctx.sessionId,
      clientId: ctx.clientId,
    };
  });
}

/**
 * Socket events that most tests need, each acknowledged.
 *
 * - `whoami` → `{ sessionId, clientId }`
 * - `get` → the session, or `{ error, code }`
 * - `merge` (data) → the session after it, or `{ error, code }`
 * - `add` → `n` after one was added to it, or `{ error, code }`
 * - `destroy` → `true`, or `{ error, code }`
 */
export function sessionEvents(io: Connectable): void {
  onConnection(io, (socket) => {
    socket.on("whoami", (ack: Ack) => {
      ack({ sessionId: socket.sessionId, clientId: socket.clientId });
    });
    socket.on("get", (ack: Ack) => {
      answer(ack, socket.withSession(({ session }) => session));
    });
    socket.on("merge", (data: TestSession, ack: Ack) => {
      answer(
        ack,
        socket.withSession(({ session }) => Object.assign(session!, data)),
      );
    });
    socket.on("add", (ack: Ack) => {
      answer(
        ack,
        socket.withSession(({ session }) => {
          session!.n = (session!.n ?? 0) + 1;
          return session!.n;
        }),
      );
    });
    socket.on("destroy", (ack: Ack) => {
      answer(
        ack,
        socket.withSession((sessionCtx) => {
          sessionCtx.session = null;
          return true;
        }),
      );
    });
  });
}

/** The acknowledgement of a socket event. */
export type Ack = (answer: unknown) => void;

/** Acknowledges with the result of a promise, or with its error as `{ error, code }`. */
export function answer(ack: Ack, promise: Promise<unknown>): void {
  promise.then(ack, (error: Error & { code?: string }) => {
    ack({ error: error.message, code: error.code });
  });
}

/** Reads the JSON body of a request. */
export async function readJson(
  request: AsyncIterable<Uint8Array>,
): Promise<Record<string, unknown>> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of request) {
    text += decoder.decode(chunk, { stream: true });
  }
  return text ? JSON.parse(text) : {};
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
