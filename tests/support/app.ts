/** Types of the session, the Koa application and the sockets of the tests. */
import type { IncomingMessage, ServerResponse } from "node:http";
import Koa from "koa";
import type { Server, Socket } from "socket.io";
import type { SessionContext, SessionSocket } from "@koa-io/session";

/** What the tests keep in a session. */
export interface TestSession {
  n?: number;
  user?: string;
  list?: number[];
  nested?: { a?: number; b?: number };
  [key: string]: unknown;
}

/** The Koa context that a middleware of {@linkcode TestApp} gets, as far as the tests need it. */
export interface TestContext extends SessionContext<TestSession> {
  readonly req: IncomingMessage;
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string | undefined>>;
  readonly cookies: {
    get(name: string, options?: object): string | undefined;
    set(name: string, value: string | null, options?: object): unknown;
  };
  readonly state: Record<string, unknown>;
  status: number;
  body: unknown;
  get(header: string): string;
  set(header: string, value: string): void;
  throw(status: number, message?: string): never;
  flushHeaders(): void;
}

/**
 * A Koa application of the tests. Structural: Koa ships no types of its own, and what `koa` resolves to differs between the runtimes.
 */
export interface TestApp {
  keys: string[] | undefined;
  proxy: boolean;
  silent: boolean;
  readonly context: object;
  use(
    middleware: (
      ctx: TestContext,
      next: () => Promise<void>,
    ) => unknown,
  ): this;
  use(middleware: (ctx: never, next: () => Promise<void>) => unknown): this;
  callback(): (req: IncomingMessage, res: ServerResponse) => Promise<void>;
  on(event: string, listener: (...args: never[]) => void): this;
  off(event: string, listener: (...args: never[]) => void): this;
  emit(event: string, ...args: unknown[]): boolean;
  listenerCount(event: string): number;
  createContext(req: IncomingMessage, res: ServerResponse): TestContext;
}

/** A Koa application without middlewares. */
export function createApp(): TestApp {
  return new Koa() as unknown as TestApp;
}

/** What koa-session adds to a session object. */
export interface NativeSession extends TestSession {
  readonly isNew: boolean;
  readonly length: number;
  readonly populated: boolean;
  readonly externalKey: string | undefined;
  maxAge: number | "session" | undefined;
  save(callback?: (error?: unknown) => void): Promise<void> | undefined;
  regenerate(callback?: (error?: unknown) => void): Promise<void> | undefined;
  manuallyCommit(): Promise<void>;
  toJSON(): TestSession;
}

/** `ctx.session` with koa-session's own members. */
export function native(ctx: TestContext): NativeSession {
  return ctx.session as unknown as NativeSession;
}

/** A server socket of the tests. */
export type TestSocket = SessionSocket<TestSession>;

/** A server of Socket.IO, a namespace of it, static or dynamic. */
export interface Connectable {
  on(event: "connection", listener: (socket: Socket) => void): unknown;
}

/** Listens for connections of a namespace; the one place where sockets are given their type. */
export function onConnection(
  io: Connectable,
  listener: (socket: TestSocket) => void,
): void {
  io.on("connection", (socket: Socket) => {
    listener(socket as unknown as TestSocket);
  });
}

/** The server's end of a client's socket. */
export function serverSocketOf(
  io: Server,
  client: { readonly id?: string | undefined },
  namespace = "/",
): TestSocket {
  const socket = io.of(namespace).sockets.get(client.id ?? "");
  if (!socket) throw new Error(`Cannot find the socket on ${namespace}`);
  return socket as unknown as TestSocket;
}
