// Stands in for @std/assert where JSR does not answer. The signatures are
// those of @std/assert, so that a test that compiles here compiles there too.
import assert_ from "node:assert/strict";

// deno-lint-ignore no-explicit-any
type Class<T> = abstract new (...args: any[]) => T;

export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) fail(msg);
}

export function assertFalse(expr: unknown, msg?: string): void {
  if (expr) fail(msg ?? `expected a falsy value, got ${expr}`);
}

export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  withMessage(msg, () => assert_.deepStrictEqual(actual, expected));
}

export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  withMessage(msg, () => assert_.notDeepStrictEqual(actual, expected));
}

export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  if (!Object.is(actual, expected)) {
    fail(msg ?? `${actual} is not ${expected}`);
  }
}

export function assertMatch(actual: string, expected: RegExp, msg?: string) {
  withMessage(msg, () => assert_.match(actual, expected));
}

export function assertStringIncludes(
  actual: string,
  expected: string,
  msg?: string,
): void {
  if (!actual.includes(expected)) {
    fail(msg ?? `${JSON.stringify(actual)} lacks ${JSON.stringify(expected)}`);
  }
}

export function assertInstanceOf<T>(
  actual: unknown,
  expectedType: Class<T>,
  msg?: string,
): asserts actual is T {
  if (!(actual instanceof expectedType)) {
    fail(msg ?? `${actual} is not an instance of ${expectedType.name}`);
  }
}

export function assertExists<T>(
  actual: T,
  msg?: string,
): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) fail(msg ?? `got ${actual}`);
}

export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) fail(msg ?? `${actual} is not > ${expected}`);
}

export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) fail(msg ?? `${actual} is not < ${expected}`);
}

export function assertGreaterOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  if (!(actual >= expected)) fail(msg ?? `${actual} is not >= ${expected}`);
}

export function assertLessOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  if (!(actual <= expected)) fail(msg ?? `${actual} is not <= ${expected}`);
}

export function assertThrows(fn: () => unknown, msg?: string): unknown;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  ErrorClass?: Class<Error> | string,
  msgIncludes?: string,
): unknown {
  try {
    fn();
  } catch (error) {
    return expected(error, ErrorClass, msgIncludes);
  }
  fail("expected function to throw");
}

export function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  ErrorClass?: Class<Error> | string,
  msgIncludes?: string,
): Promise<unknown> {
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch {
    fail("function throws when expected to reject");
  }
  try {
    await promise;
  } catch (error) {
    return expected(error, ErrorClass, msgIncludes);
  }
  fail("expected function to reject");
}

function expected(
  error: unknown,
  ErrorClass?: Class<Error> | string,
  msgIncludes = "",
): unknown {
  if (typeof ErrorClass !== "function") return error;
  assertInstanceOf(error, ErrorClass);
  assertStringIncludes(error.message, msgIncludes);
  return error;
}

function withMessage(msg: string | undefined, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (msg && error instanceof Error) error.message += `: ${msg}`;
    throw error;
  }
}

function fail(message: string): never {
  throw new assert_.AssertionError({ message });
}
