/**
 * The members of Koa that the bridge uses, described by structure: it works
 * across Koa's versions, and the published types do not depend on Koa's.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { SessionData } from "./store.ts";
import type { MissingResult, SessionView } from "./session_view.ts";

/** What the bridge uses of a Koa application. */
export interface KoaApplication {
  /** The keys that cookies are signed with. */
  keys?: unknown;
  /** The prototype of every context. */
  readonly context: object;
  /** Whether forwarded headers are trusted. */
  proxy?: boolean;
  /** Adds a middleware. */
  use(
    middleware: (ctx: never, next: () => Promise<void>) => Promise<void>,
  ): unknown;
  /** Makes a context of a request. */
  createContext(req: IncomingMessage, res: ServerResponse): unknown;
  /** Emits an event of the application. */
  emit(event: string, ...args: unknown[]): boolean;
  /** Handles requests; the bridge never calls it. */
  callback(): unknown;
}

/** What a cookie may look like: the options of Koa's `ctx.cookies`. */
export interface CookieOptions {
  readonly maxAge?: number | undefined;
  readonly signed?: boolean;
  readonly overwrite?: boolean;
  readonly [attribute: string]: unknown;
}

/** What the bridge uses of a Koa context. */
export interface KoaContext {
  readonly app: KoaApplication;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly host: string;
  readonly headerSent: boolean;
  readonly cookies: {
    /** The keys that cookies are signed with. */
    keys: unknown;
    get(name: string, options?: CookieOptions): string | undefined;
    set(name: string, value?: string | null, options?: CookieOptions): unknown;
  };
  session: (SessionData & NativeSession) | null;
  readonly sessionOptions: CookieOptions & { maxAge?: number | "session" };
}

/**
 * The Koa context of a socket's handshake, as a request to the application
 * would have. Its `session` is `undefined`, as changes of it would
 * not be stored: use `socket.withSession`. It has more members than are named here; a
 * type of your own is the second parameter of `SessionSocket`.
 */
export interface SocketContext {
  /** The request of the handshake. */
  readonly req: IncomingMessage;
  /** Its headers. */
  readonly headers: IncomingMessage["headers"];
  /** The host that it names, forwarded ones with `app.proxy`. */
  readonly host: string;
  /** The address that it came from, forwarded ones with `app.proxy`. */
  readonly ip: string;
  /** The cookies that came with it. */
  readonly cookies: {
    /** The value of a cookie, `undefined` where it is missing or its signature is wrong. */
    get(name: string, options?: { signed?: boolean }): string | undefined;
  };
  /** For the application's own use. */
  readonly state: Record<string, unknown>;
  /** Socket.IO's handshake: `auth`, `query` and the like. */
  readonly handshake: unknown;
  /** Never set: use `socket.withSession`. */
  readonly session: undefined;
}

/** koa-session's own members of `ctx.session`. */
export interface NativeSession {
  /** Whether the session is new: the store did not have it. */
  readonly isNew: boolean;
  /** How many values there are. */
  readonly length: number;
  /** Whether there are any. */
  readonly populated: boolean;
  /** The session's id. */
  readonly externalKey: string;
  /** How long the session and its cookie live, in ms. */
  maxAge: number | "session" | undefined;
  /** Saves the session although nothing changed. */
  save(): Promise<void>;
  /** Gives the session a new id. */
  regenerate(): Promise<void>;
  /** Commits where `autoCommit` is off. */
  manuallyCommit(): Promise<void>;
  /** The data. */
  toJSON(): SessionData;
}

/** How a session is regenerated. */
export interface RegenerateOptions {
  /**
   * What becomes of the client's sockets: `"follow"` takes them along,
   * `"reconnect"`, for logins, closes their connections, so that they come back
   * with the browser's new cookies; `"leave"` gives the client a new id and
   * leaves them without a session.
   *
   * @default {"follow"}
   */
  readonly sockets?: "follow" | "leave" | "reconnect" | undefined;
}

/**
 * What the bridge adds to a Koa context, for `new Koa<State, SessionContext<MySession>>()`.
 *
 * @example
 * ```ts
 * // @ts-types="@types/koa"
 * import Koa from "koa";
 * import type { SessionContext } from "@koa-io/session";
 *
 * interface MySession {
 *   user?: string;
 *   count?: number;
 * }
 * const app = new Koa<Koa.DefaultState, SessionContext<MySession>>();
 * app.use((ctx) => {
 *   if (ctx.session) ctx.session.count = (ctx.session.count ?? 0) + 1;
 * });
 * ```
 */
export interface SessionContext<S extends object = SessionData> {
  /** The session, native koa-session; `null` destroys it. */
  get session(): (S & NativeSession) | null;
  /** @ignore */
  set session(value: S | null);
  /** The id of `ctx.session`; `undefined` until it is stored. */
  readonly sessionId: string | undefined;
  /** The client that the request came from. */
  readonly clientId: string;
  /** The handshake of a socket, in the context made of it. */
  readonly handshake?: unknown;
  /** Runs a handler that holds the session exclusively; see `SessionBridge.withSession`. */
  withSession<R>(
    handler: (view: SessionView<S, undefined>) => R | Promise<R>,
  ): Promise<R>;
  /** The same, with a result or an action for when there is no session. */
  withSession<R, M>(
    handler: (view: SessionView<S, undefined>) => R | Promise<R>,
    onMissing: M,
  ): Promise<R | MissingResult<M>>;
  /** Gives the session a new id: cookie, store, mapping, rooms and event change together. */
  regenerateSession(options?: RegenerateOptions): Promise<void>;
}

/**
 * The Koa context that the callbacks among the options are given: that of a
 * request, or of a socket's handshake. Members that `app.context` was given
 * by the application are not checked.
 */
export interface CallbackContext {
  /** The request. */
  readonly req: IncomingMessage;
  /** Its headers. */
  readonly headers: IncomingMessage["headers"];
  /** The host that it names, forwarded ones with `app.proxy`. */
  readonly host: string;
  /** The address that it came from, forwarded ones with `app.proxy`. */
  readonly ip: string;
  /** A header of the request, `""` where it is missing. */
  get(field: string): string;
  /** The cookies that came with it. */
  readonly cookies: {
    /** The value of a cookie, `undefined` where it is missing or its signature is wrong. */
    get(name: string, options?: { signed?: boolean }): string | undefined;
  };
  /** Socket.IO's handshake, in the context of a socket. */
  readonly handshake?: unknown;
  /** What the application adds to its contexts, unchecked. */
  // deno-lint-ignore no-explicit-any
  readonly [member: string]: any;
}

/** What the middleware of `bridge.refresh()` uses of a Koa context. */
export interface RefreshContext {
  /** The status of the answer. */
  status: number;
  /** Sets a header of the answer. */
  set(field: string, value: string): unknown;
}
