/**
 * What becomes of a call when there is no session.
 *
 * @module
 */
import { SessionMissingError } from "../api/errors.ts";

/**
 * What a call of `withSession` does when there is no session.
 *
 * @param args the arguments of the call: an explicit `undefined` is a value
 * @throws {TypeError} when the first of them, the handler, is no function
 */
export function missingPolicy(args: readonly unknown[]): () => unknown {
  const [handler, onMissing] = args;
  if (typeof handler !== "function") {
    throw new TypeError(
      `Cannot run withSession as handler must be a function: received ${
        handler === null ? "null" : typeof handler
      }`,
    );
  }
  return () => {
    if (args.length < 2) throw new SessionMissingError();
    if (onMissing instanceof Error) throw onMissing;
    return typeof onMissing === "function" ? onMissing() : onMissing;
  };
}
