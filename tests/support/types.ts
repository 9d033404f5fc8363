/** Comparisons of types for tests that are compiled. */

/** Whether two types are the same; `any` and `readonly` make a difference. */
export type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends
  (<T>() => T extends B ? 1 : 2) ? true : false;

/** Compiles only for `Expect<true>`. */
export type Expect<T extends true> = T;

/** Compiles only where `Part` can be used as `Whole`. */
export type Fits<Whole, Part extends Whole> = Part;

export type IsAny<T> = 0 extends 1 & T ? true : false;

/** Whether a function takes or returns `any`, or a promise or a list of it. */
export type Leaks<T> = IsAny<T> extends true ? true
  : T extends (...args: infer A) => infer R
    ? true extends IsAny<A[number]> | IsAny<Awaited<R>> | IsAny<Item<R>> ? true
    : false
  : IsAny<Item<T>>;

export type Item<T> = T extends readonly (infer I)[] ? I : undefined;

/** The names of the members that leak `any`. */
export type Leaking<T> = {
  [K in keyof T]-?: Leaks<T[K]> extends true ? K : never;
}[keyof T];

/** A value of a type; only types are looked at. */
export function value<T>(): T {
  return undefined as T;
}

/** Compiled and never called. */
export function compile(_body: () => unknown): void {}

/** Compiles only when the value is of exactly this type. */
export function same<Expected>() {
  return <Actual>(
    _actual: Actual,
    ..._equal: Equals<Expected, Actual> extends true ? [] : [never]
  ): void => {};
}

// the helpers themselves can fail
export type HelpersWork = [
  Expect<Equals<Equals<string, unknown>, false>>,
  // deno-lint-ignore no-explicit-any
  Expect<Equals<Leaking<{ a: string; b: any }>, "b">>,
  // deno-lint-ignore no-explicit-any
  Expect<Equals<Leaking<{ f(a: any): void; g(): Promise<any> }>, "f" | "g">>,
];
