/**
 * The public members of a socket under a bridge, and of a Socket.IO server.
 *
 * @module
 */
import type SocketIO from "socket.io";
import type { SessionErrorCode } from "./errors.ts";
import type { SocketContext } from "./koa.ts";
import type { SessionData } from "./store.ts";
import type { MissingResult, SessionView } from "./session_view.ts";

/**
 * What the bridge adds to a socket.
 *
 * @example
 * ```ts
 * import type { SessionSocket } from "@koa-io/session";
 *
 * interface MySession {
 *   count: number;
 * }
 * async function increment(socket: SessionSocket<MySession>): Promise<number> {
 *   return await socket.withSession(({ session }) => ++session.count);
 * }
 * ```
 */
export interface SocketSession<
  S extends object = SessionData,
  This = SocketIO.Socket,
  Ctx = SocketContext,
> {
  /** The client that opened the socket; `undefined` when the handshake had no genuine client cookie. */
  readonly clientId: string | undefined;
  /** The session that the client has now: it changes when the client logs out and in again. */
  readonly sessionId: string | undefined;
  /** The Koa context of the handshake, made at the first access. */
  readonly ctx: Ctx;
  /** Runs a handler on the session, exclusively; see `SessionBridge.withSession`. */
  withSession<R>(
    handler: (view: SessionView<S, This>) => R | Promise<R>,
  ): Promise<R>;
  /** The same, with a fallback for when there is no session. */
  withSession<R, M>(
    handler: (view: SessionView<S, This>) => R | Promise<R>,
    onMissing: M,
  ): Promise<R | MissingResult<M>>;
  /**
   * Listens for an event of the client, and answers it by a handler that runs
   * on the session as that of `withSession` does. Nothing that a client sends,
   * no logout and no failure of the store makes an unhandled rejection.
   *
   * The result is passed to the acknowledgement, if the client sent one. An
   * error becomes {@linkcode SocketFailure} there, and an `error` event of the
   * bridge; a missing or ended session is the client's affair alone.
   *
   * @param event the event's name
   * @param handler gets the view of the session and the event's arguments, without the acknowledgement
   * @param onMissing decides where there is no session, or it ends while the
   * handler runs: a function is called, any other value is the answer; an `Error` is as good as left out
   * @returns the socket
   *
   * @example
   * ```ts
   * import type { SessionSocket } from "@koa-io/session";
   *
   * interface MySession {
   *   count: number;
   * }
   * function onConnection(socket: SessionSocket<MySession>): void {
   *   socket.onSession("add", ({ session }, n: unknown) => {
   *     if (typeof n === "number") session.count += n;
   *     return session.count;
   *   }, "please log in");
   * }
   * ```
   */
  onSession<E extends keyof ListenEvents<This> & string>(
    event: E,
    handler: (
      view: SessionView<S, This>,
      ...args: EventArguments<ListenEvents<This>[E]>
    ) => unknown,
    onMissing?: unknown,
  ): this;
}

/** What `onSession` answers a client whose event failed. */
export interface SocketFailure {
  /** The `code` of a {@linkcode SessionError}; `"INTERNAL"` for an error of the application. */
  readonly error: SessionErrorCode | "INTERNAL";
}

/** The events that a socket listens for, by its own type. */
export type ListenEvents<Socket> = Socket extends
  SocketIO.Socket<infer Listen, infer _Emit, infer _Server, infer _Data>
  ? Listen
  : never;

/** The arguments of an event, without its acknowledgement. */
export type EventArguments<Listener> = Listener extends
  (...args: infer All) => unknown
  ? Required<All> extends [...infer Rest, (...result: never[]) => unknown]
    ? Rest
  : All
  : never;

/** A socket under a bridge: cast the socket of `connection` to it. */
export type SessionSocket<S extends object = SessionData, Ctx = SocketContext> =
  & SocketIO.Socket
  & SocketSession<S, SocketIO.Socket, Ctx>;

/** What the bridge uses of a Socket.IO server. */
export interface SocketServer {
  /** The default namespace. */
  readonly sockets: object;
  /** A namespace. */
  of(name: string): object;
}
