/**
 * How an argument or an option is refused: named, with what was expected and
 * what came.
 *
 * @module
 */

/** Throws "Cannot X as Y must be Z: received V". */
export function refuse(
  action: string,
  name: string,
  expected: string,
  came: unknown,
  Refusal: typeof TypeError | typeof RangeError = TypeError,
): never {
  throw new Refusal(
    `Cannot ${action} as ${name} must be ${expected}: received ${
      describeValue(came)
    }`,
  );
}

/** A `TypeError` for what is no number, a `RangeError` for one that does not fit. */
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

/** Short, and no way to look into an object: it may hold a secret. */
export function describeValue(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") return String(value);
  return typeof value === "object" ? "an object" : typeof value;
}
