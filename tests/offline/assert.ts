/**
 * Stands in for `@std/assert` where JSR does not answer: the functions that the
 * tests and the documents use, with the signatures of `@std/assert`, on
 * `node:assert/strict`.
 */
import * as node from "node:assert/strict";

type Comparison = <T>(actual: T, expected: T, msg?: string) => void;
type Condition = (expr: unknown, msg?: string) => asserts expr;
type Identity = <T>(
  actual: unknown,
  expected: T,
  msg?: string,
) => asserts actual is T;
type Match = (actual: string, expected: RegExp, msg?: string) => void;
// deno-lint-ignore no-explicit-any
type ErrorClass<E> = abstract new (...args: any[]) => E;

export const assert: Condition = node.ok as Condition;
export const assertEquals = node.deepStrictEqual as Comparison;
export const assertNotEquals = node.notDeepStrictEqual as Comparison;
export const assertStrictEquals: Identity = node.strictEqual as Identity;
export const assertMatch = node.match as Match;

export const assertFalse = (expr: unknown, msg?: string): void =>
  node.ok(!expr, msg ?? `${expr} is truthy`);
export const assertGreater: Comparison = (a, b, msg) =>
  node.ok(a > b, msg ?? `${a} is not > ${b}`);
export const assertGreaterOrEqual: Comparison = (a, b, msg) =>
  node.ok(a >= b, msg ?? `${a} is not >= ${b}`);
export const assertLess: Comparison = (a, b, msg) =>
  node.ok(a < b, msg ?? `${a} is not < ${b}`);
export const assertLessOrEqual: Comparison = (a, b, msg) =>
  node.ok(a <= b, msg ?? `${a} is not <= ${b}`);
export const assertStringIncludes = (
  actual: string,
  expected: string,
  msg?: string,
): void =>
  node.ok(actual.includes(expected), msg ?? `${actual} lacks ${expected}`);

export function assertInstanceOf<T>(
  actual: unknown,
  type: ErrorClass<T>,
  msg?: string,
): asserts actual is T {
  node.ok(actual instanceof type, msg ?? `${actual} is no ${type.name}`);
}

export function assertThrows(fn: () => unknown, msg?: string): unknown;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  type?: ErrorClass<Error> | string,
  msgIncludes?: string,
): unknown {
  let error: unknown;
  node.throws(fn, (thrown) => isExpected(error = thrown, type, msgIncludes));
  return error;
}

export function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  type?: ErrorClass<Error> | string,
  msgIncludes?: string,
): Promise<unknown> {
  let error: unknown;
  await node.rejects(
    fn as () => Promise<unknown>,
    (thrown) => isExpected(error = thrown, type, msgIncludes),
  );
  return error;
}

function isExpected(
  error: unknown,
  type?: ErrorClass<Error> | string,
  msgIncludes = "",
): true {
  if (typeof type !== "function") return true;
  assertInstanceOf(error, type);
  assertStringIncludes(error.message, msgIncludes);
  return true;
}
