/**
 * The public members of a socket under a bridge, and of a Socket.IO server.
 *
 * @module
 */
import type SocketIO from "socket.io";
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
}

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
