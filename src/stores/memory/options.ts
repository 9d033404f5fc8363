/**
 * Checks the options of {@linkcode SessionStore}, and the `maxAge` arguments
 * of its methods.
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
   * How long a session lives without a `maxAge` of its own, in ms.
   *
   * @default {2_592_000_000} 30 days
   */
  readonly maxAge?: number | "session" | null | undefined;
  /**
   * Whether a timer removes expired sessions. It never keeps the process alive.
   *
   * @default {true}
   */
  readonly autoCleanup?: boolean | null | undefined;
  /**
   * The interval of the timer, in ms.
   *
   * @default {1000} at least, and only when a session has expired
   */
  readonly autoCleanupMs?: number | null | undefined;
  /**
   * How many sessions to hold at most; beyond, the least recently used one is
   * removed.
   *
   * @default {Infinity}
   */
  readonly maxEntries?: number | null | undefined;
}

/** The options with their defaults. */
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

/** A `maxAge` in ms; `"session"` stands for a day, as in koa-session. */
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
