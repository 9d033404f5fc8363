/**
 * The arguments of `withSession`, checked once where the call enters.
 *
 * @module
 */
import { SessionMissingError } from "../api/errors.ts";
import type { SessionView } from "../api/session_view.ts";
import type { SessionData } from "../api/store.ts";

/** A handler of `withSession`. */
export type Handler<R> = (
  view: SessionView<SessionData, unknown>,
) => R | Promise<R>;

/** One call of `withSession`. */
export interface SessionCall {
  readonly handler: Handler<unknown>;
  /** The result, or the error, of a call without a session. */
  readonly missing: () => unknown;
  /** Whether `missing` decides too where the session ends while the handler runs. */
  readonly decidesEnd: boolean;
}

/**
 * Reads the arguments of `withSession`.
 *
 * @param args `handler` and `onMissing`; an explicit `undefined` is a value
 * @throws {TypeError} when the handler is not a function
 */
export function sessionCall(args: readonly unknown[]): SessionCall {
  const [handler, onMissing] = args;
  if (typeof handler !== "function") {
    throw new TypeError(
      `Cannot run withSession as handler must be a function: received ${
        handler === null ? "null" : typeof handler
      }`,
    );
  }
  const missing = () => {
    if (args.length < 2) throw new SessionMissingError();
    if (onMissing instanceof Error) throw onMissing;
    return typeof onMissing === "function" ? onMissing() : onMissing;
  };
  return {
    handler: handler as Handler<unknown>,
    missing,
    decidesEnd: args.length > 1,
  };
}
