/**
 * The argument of `withSession` handlers, and the result of calls without a session.
 *
 * @module
 */
import type { SessionData } from "./store.ts";

/** The argument of a handler of `withSession`. */
export interface SessionView<S extends object = SessionData, Socket = unknown> {
  /** The session's id. */
  readonly sessionId: string;
  /** The session: change it, replace it, or set it to `null` to destroy it. */
  get session(): S;
  /** @ignore */
  set session(value: S | null);
  /** The socket that called `withSession`, `undefined` outside sockets. */
  readonly socket: Socket;
}

/** The result of a call when there is no session: the value, or what the function returns. */
export type MissingResult<M> = M extends Error ? never
  : M extends (...args: never[]) => infer R ? Awaited<R>
  : M;
