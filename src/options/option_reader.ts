/**
 * Reads the options of the bridge, one by one.
 *
 * @module
 */
import { optionalBoolean, refuse, requireNumber } from "../base/arguments.ts";
import { MAX_TIMER } from "../base/timers.ts";

/** A cookie's name is a token (RFC 6265, 4.1.1; RFC 9110, 5.6.2). */
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;
const BRIDGING = "bridge sessions";

/**
 * Checks options as they are read, and records which were: options that were
 * not read are forwarded to koa-session and to the cookies. Each option of the
 * bridge must therefore be read in any case, whatever the others are.
 */
export class OptionReader {
  readonly #given: Readonly<Record<string, unknown>>;
  readonly #read = new Set<string>();

  constructor(given: Readonly<Record<string, unknown>>) {
    this.#given = given;
  }

  /** The value of an option; `null` counts as left out. */
  get(name: string): unknown {
    this.#read.add(name);
    return this.#given[name] ?? undefined;
  }

  /** The names of the options that were read so far. */
  get names(): Iterable<string> {
    return this.#read;
  }

  /** Whether the option was read so far. */
  wasRead(name: string): boolean {
    return this.#read.has(name);
  }

  /** The given options, read or not, that pass the test. */
  select(isWanted: (name: string) => boolean): Record<string, unknown> {
    return Object.fromEntries(
      Object.entries(this.#given)
        .filter(([name, value]) => value != null && isWanted(name)),
    );
  }

  /** Throws an error that names the option. */
  wrong(
    name: string,
    expected: string,
    received: unknown,
    Refusal = TypeError,
  ): never {
    refuse(BRIDGING, `the option ${name}`, expected, received, Refusal);
  }

  boolean(name: string): boolean | undefined {
    return optionalBoolean(BRIDGING, `the option ${name}`, this.get(name));
  }

  string(name: string): string | undefined {
    const value = this.get(name);
    if (value === undefined || typeof value === "string") return value;
    this.wrong(name, "a string", value);
  }

  token(name: string): string | undefined {
    const value = this.string(name);
    if (value === undefined || TOKEN.test(value)) return value;
    this.wrong(
      name,
      "a cookie name (letters, digits and -_.~ among others)",
      value,
      RangeError,
    );
  }

  // deno-lint-ignore ban-types
  callable(name: string): Function | undefined {
    const value = this.get(name);
    if (value === undefined || typeof value === "function") return value;
    this.wrong(name, "a function", value);
  }

  ms(name: string, max = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    const expected = max === MAX_TIMER
      ? `a number of ms above 0 and at most ${MAX_TIMER}`
      : "a number of ms above 0";
    return this.number(name, expected, value, (ms) => ms > 0 && ms <= max);
  }

  /** Checks a number: an option's value, or a part of it. */
  number(
    name: string,
    expected: string,
    value: unknown,
    fits: (value: number) => boolean,
  ): number {
    return requireNumber(BRIDGING, `the option ${name}`, expected, value, fits);
  }

  /** Checks that an object, or the prototype of a class, has these methods. */
  methods(name: string, holder: object, methods: readonly string[]): void {
    const missing = methods.filter((method) =>
      typeof (holder as Record<string, unknown>)[method] !== "function"
    );
    if (missing.length > 0) {
      throw new TypeError(
        `Cannot ${BRIDGING} as the option ${name} must have the methods ${
          methods.join(", ")
        }: received one without ${missing.join(", ")}`,
      );
    }
  }

  /** One of some strings. */
  oneOf<T extends string>(name: string, values: readonly T[]): T | undefined;
  /** One of some strings, or what else passes a test. */
  oneOf<T extends string>(
    name: string,
    values: readonly T[],
    more: string,
    isMore: (value: unknown) => boolean,
  ): T | object | undefined;
  oneOf(
    name: string,
    values: readonly string[],
    more?: string,
    isMore?: (value: unknown) => boolean,
  ): unknown {
    const value = this.get(name);
    if (
      value === undefined || values.includes(value as string) ||
      isMore?.(value)
    ) return value;
    const expected = values.map((one) => JSON.stringify(one));
    if (more !== undefined) expected.push(more);
    const last = expected.pop();
    this.wrong(
      name,
      `${expected.join(", ")} or ${last}`,
      value,
      typeof value === "string" ? RangeError : TypeError,
    );
  }
}
