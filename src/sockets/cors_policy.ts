/**
 * What the policy given to Socket.IO's option `cors` says of an origin, as the
 * npm package `cors` reads it.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";

/** `"guest"`: admitted, but its cookies are ignored. */
export type Verdict = "session" | "guest" | "refused";

/** The options of the npm package `cors` that concern origins. */
interface CorsPolicy {
  readonly origin?: unknown;
  readonly credentials?: boolean;
}

/** The verdict of a policy, or of a function that returns one, on this origin. */
export async function corsVerdict(
  cors: unknown,
  origin: string,
  req: IncomingMessage,
): Promise<Verdict> {
  const policy =
    await (typeof cors === "function"
      ? callbackResult<CorsPolicy>((fn) => cors(req, fn))
      : cors as CorsPolicy);
  let allowed: unknown = policy?.origin === undefined ? "*" : policy.origin;
  if (typeof allowed === "function") {
    const decide = allowed;
    allowed = await callbackResult((fn) => decide(origin, fn));
  }
  if (!allowed) return "refused";
  const any = allowed === "*" || allowed === true;
  if (any) return policy?.credentials ? "session" : "guest";
  return isAllowed(origin, allowed) === true ? "session" : "refused";
}

function isAllowed(origin: string, allowed: unknown): boolean {
  if (Array.isArray(allowed)) {
    return allowed.some((one) => isAllowed(origin, one));
  }
  if (allowed instanceof RegExp) {
    allowed.lastIndex = 0;
    return allowed.test(origin);
  }
  return typeof allowed === "string" ? origin === allowed : Boolean(allowed);
}

function callbackResult<T>(
  call: (fn: (error: unknown, value?: T) => void) => unknown,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const done = (error: unknown, value?: T) =>
      error ? reject(error) : resolve(value);
    Promise.resolve(call(done)).catch(reject);
  });
}
