/**
 * Reads one option of the bridge after the other.
 *
 * @module
 */
import { refuse, requireNumber } from "../base/arguments.ts";

/** The longest delay of a timer. */
export const MAX_TIMER = 2 ** 31 - 1;
/** A cookie's name is a token (RFC 6265, 4.1.1; RFC 9110, 5.6.2). */
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;
const BRIDGING = "bridge sessions";

/** Reads one option after the other; what is wrong is refused by name. */
export class OptionReader {
  readonly #given: Readonly<Record<string, unknown>>;

  constructor(given: Readonly<Record<string, unknown>>) {
    this.#given = given;
  }

  get(name: string): unknown {
    return this.#given[name] ?? undefined;
  }

  wrong(
    name: string,
    expected: string,
    came: unknown,
    Refusal = TypeError,
  ): never {
    refuse(BRIDGING, `the option ${name}`, expected, came, Refusal);
  }

  boolean(name: string): boolean | undefined {
    const value = this.get(name);
    if (value === undefined || typeof value === "boolean") return value;
    this.wrong(name, "a boolean", value);
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

  /** A number that fits: an option, or what stands in one. */
  number(
    name: string,
    expected: string,
    value: unknown,
    fits: (value: number) => boolean,
  ): number {
    return requireNumber(BRIDGING, `the option ${name}`, expected, value, fits);
  }

  /** An object, or a class's prototype, that has these methods. */
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

  oneOf<T extends string>(
    name: string,
    values: readonly T[],
    more: string,
    isMore: (value: unknown) => boolean,
  ): T | object | undefined {
    const value = this.get(name);
    if (value === undefined || values.includes(value as T) || isMore(value)) {
      return value as T | object | undefined;
    }
    const expected = `${
      values.map((one) => JSON.stringify(one)).join(", ")
    } or ${more}`;
    this.wrong(
      name,
      expected,
      value,
      typeof value === "string" ? RangeError : TypeError,
    );
  }
}
