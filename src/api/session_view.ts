/**
 * What a handler of `withSession` is given, and what a call without a session comes to.
 *
 * @module
 */
import type { SessionData } from "./store.ts";

/** What a handler of `withSession` is given. */
export interface SessionView<S extends object = SessionData, Socket = unknown> {
  /** The session's id. */
  readonly sessionId: string;
  /** The session: change it, replace it, or set it to `null` to destroy it. */
  get session(): S;
  /** @ignore */
  set session(value: S | null);
  /** The socket that asked, `undefined` outside sockets. */
  readonly socket: Socket;
}

/** What a call comes to when there is no session. */
export type MissingResult<M> = M extends Error ? never
  : M extends (...args: never[]) => infer R ? Awaited<R>
  : M;
