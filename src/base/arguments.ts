/**
 * Checks of arguments and options. A wrong one is refused by name, with what
 * was expected and what was received.
 *
 * @module
 */
import { isThenable } from "./async.ts";

/** Throws "Cannot X as Y must be Z: received V". */
export function refuse(
  action: string,
  name: string,
  expected: string,
  received: unknown,
  Refusal: typeof TypeError | typeof RangeError = TypeError,
): never {
  throw new Refusal(
    `Cannot ${action} as ${name} must be ${expected}: received ${
      describeValue(received)
    }`,
  );
}

/** Describes what the function of an option has returned. */
export function describeResult(result: unknown): string {
  if (!isThenable(result)) return describeValue(result);
  // without a handler its rejection would be an unhandled one
  Promise.resolve(result).catch(() => {});
  return "a promise";
}

/** Throws a `TypeError` for what the function of an option has returned. */
export function refuseResult(
  action: string,
  option: string,
  expected: string,
  result: unknown,
): never {
  throw new TypeError(
    `Cannot ${action} as the option ${option} must return ${expected}: received ${
      describeResult(result)
    }`,
  );
}

/**
 * The function of an option whose result is used at once: the result of the one
 * returned here is never a promise, and none is dropped.
 *
 * @param action what the result is for
 * @returns throws a `TypeError` in place of returning a promise
 */
export function synchronous<A extends unknown[], R>(
  action: string,
  option: string,
  call: (...args: A) => R,
): (...args: A) => R {
  return (...args) => {
    const result = call(...args);
    if (isThenable(result)) {
      refuseResult(action, option, "its result at once", result);
    }
    return result;
  };
}

/** Throws a `TypeError` unless the value is an object; an array counts as one. */
export function requireObject(
  action: string,
  name: string,
  value: unknown,
): asserts value is object {
  if (typeof value !== "object" || value === null) {
    refuse(action, name, "an object", value);
  }
}

/** Throws a `TypeError` unless the value is a boolean, or `null` or `undefined`: left out. */
export function optionalBoolean(
  action: string,
  name: string,
  value: unknown,
): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "boolean") refuse(action, name, "a boolean", value);
  return value;
}

/** Throws a `TypeError` for a value that is no number, a `RangeError` for one that does not fit. */
export function requireNumber(
  action: string,
  name: string,
  expected: string,
  value: unknown,
  fits: (value: number) => boolean,
): number {
  if (typeof value !== "number") refuse(action, name, expected, value);
  if (!fits(value)) refuse(action, name, expected, value, RangeError);
  return value;
}

/** Describes a value in a few characters. Objects are never looked into: they may hold secrets. */
export function describeValue(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") return String(value);
  return typeof value === "object" ? "an object" : typeof value;
}
