/**
 * The options of {@linkcode SessionStore}, checked once, and the lives that its
 * methods are given.
 *
 * @module
 */
import {
  optionalBoolean,
  requireNumber,
  requireObject,
} from "../../base/arguments.ts";
import { ONE_DAY } from "../../api/store.ts";

const THIRTY_DAYS = 30 * ONE_DAY;

/** The options of {@linkcode SessionStore}. */
export interface SessionStoreOptions {
  /**
   * How long a session lives when `set` does not say, in ms.
   *
   * @default {2_592_000_000} 30 days
   */
  readonly maxAge?: number | "session" | null | undefined;
  /**
   * Whether a timer removes what has expired. It never keeps the process alive.
   *
   * @default {true}
   */
  readonly autoCleanup?: boolean | null | undefined;
  /**
   * How often at most, in ms.
   *
   * @default {1000} when something has expired: sooner than a tenth of `maxAge`
   */
  readonly autoCleanupMs?: number | null | undefined;
  /**
   * How many sessions to hold at most; beyond, the one that was used least
   * recently goes.
   *
   * @default {Infinity}
   */
  readonly maxEntries?: number | null | undefined;
}

/** The options, complete. */
export interface CheckedOptions {
  readonly maxAge: number;
  readonly autoCleanup: boolean;
  /** `undefined` for a clean-up when something has expired. */
  readonly autoCleanupMs: number | undefined;
  readonly maxEntries: number;
}

/** Checks the options and fills in the defaults. */
export function checkOptions(options: SessionStoreOptions): CheckedOptions {
  const making = "make a SessionStore";
  requireObject(making, "options", options);
  const maxAge = life("maxAge", options.maxAge) ?? THIRTY_DAYS;
  const maxEntries = positive("maxEntries", options.maxEntries, true) ??
    Infinity;
  const autoCleanup =
    optionalBoolean(making, "autoCleanup", options.autoCleanup) ?? true;
  const autoCleanupMs = positive("autoCleanupMs", options.autoCleanupMs);
  return { maxAge, autoCleanup, autoCleanupMs, maxEntries };
}

/** A life in ms: koa-session's own for a session with a browser-session cookie. */
export function life(name: string, value: unknown): number | undefined {
  return value === "session" ? ONE_DAY : positive(name, value);
}

/** A number above 0; `Infinity` counts as an integer. */
export function positive(
  name: string,
  value: unknown,
  integer = false,
): number | undefined {
  if (value === undefined || value === null) return undefined;
  const expected = `${integer ? "an integer" : "a number"} above 0`;
  return requireNumber(
    `use ${name}`,
    "it",
    expected,
    value,
    (value) =>
      value > 0 && (!integer || Number.isInteger(value) || value === Infinity),
  );
}
