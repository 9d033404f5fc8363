/**
 * Warnings about values in a session that JSON does not keep.
 *
 * @module
 */
import { WarnedOnce } from "../base/warned_once.ts";

const warned = new WarnedOnce();

/** Warns, once for each key and kind, of values that are not what a later read returns. */
export function warnOfLost(session: object): void {
  for (const [key, value] of Object.entries(session)) {
    if (typeof value === "string" || typeof value === "number") continue;
    const kind = lostKind(value);
    if (kind === undefined) continue;
    warned.warn(
      `${kind} under the key ${JSON.stringify(key)}`,
      (what) =>
        `A session was given ${what}, which JSON does not keep: the next read returns something else. Store plain objects, arrays, strings, numbers, booleans and null.`,
    );
  }
}

/** What a value is, if JSON does not keep it. */
function lostKind(value: unknown): string | undefined {
  switch (typeof value) {
    case "undefined":
      return "undefined";
    case "function":
    case "symbol":
      return `a ${typeof value}`;
    case "object":
      return value === null ? undefined : lostObject(value);
  }
}

function lostObject(value: object): string | undefined {
  if (Array.isArray(value)) return undefined;
  const prototype = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return undefined;
  const { toJSON, constructor } = value as {
    toJSON?: unknown;
    constructor?: { name?: unknown };
  };
  // it says itself what is kept
  if (typeof toJSON === "function") return undefined;
  // a plain object of another realm
  if (Object.getPrototypeOf(prototype) === null) return undefined;
  const name = constructor?.name;
  return typeof name === "string" && name !== ""
    ? `an instance of ${name}`
    : "an instance of a class";
}
