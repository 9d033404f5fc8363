/**
 * The options of {@linkcode SqliteStore}, checked once.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import {
  optionalBoolean,
  refuse,
  requireNumber,
  requireObject,
} from "../../base/arguments.ts";

/** The options of {@linkcode SqliteStore}. */
export interface SqliteStoreOptions {
  /**
   * The file, created if there is none, and readable only by its owner;
   * `":memory:"` for a store that ends with the process.
   *
   * While it is open, SQLite keeps two files beside it, `-wal` and `-shm`. The
   * folder must be on a local disk, not on a network file system.
   */
  readonly path: string | URL;
  /**
   * Whether a timer removes expired sessions. It never keeps the process alive.
   *
   * @default {true}
   */
  readonly autoCleanup?: boolean | null | undefined;
  /**
   * The interval of the timer, in ms.
   *
   * @default {60_000}
   */
  readonly autoCleanupMs?: number | null | undefined;
  /**
   * How long a call waits for other processes that are writing, in ms; then it
   * rejects with SQLite's own error.
   *
   * @default {5_000}
   */
  readonly busyTimeout?: number | null | undefined;
  /**
   * What an acknowledged write survives: with `"normal"` a crash of the
   * process, `kill -9` included; with `"full"` one of the machine too, at the
   * cost of waiting for the disk with every write. After a power failure a
   * `"normal"` file may lack the last writes, a logout among them, but it is
   * never corrupt.
   *
   * @default {"normal"}
   */
  readonly synchronous?: "normal" | "full" | null | undefined;
}

/** The options with their defaults. */
export interface CheckedOptions {
  readonly path: string;
  readonly autoCleanup: boolean;
  readonly autoCleanupMs: number;
  readonly busyTimeout: number;
  readonly synchronous: "normal" | "full";
}

const MAKING = "make a SqliteStore";

/** Checks the options and fills in the defaults. */
export function checkOptions(options: SqliteStoreOptions): CheckedOptions {
  requireObject(MAKING, "options", options);
  const { path, synchronous } = options;
  if (!(path instanceof URL) && (typeof path !== "string" || path === "")) {
    refuse(MAKING, "path", "a path or a file: URL", path);
  }
  if (
    synchronous != null && synchronous !== "normal" && synchronous !== "full"
  ) {
    refuse(MAKING, "synchronous", '"normal" or "full"', synchronous);
  }
  return {
    path: path instanceof URL ? fileURLToPath(path) : path,
    autoCleanup: optionalBoolean(MAKING, "autoCleanup", options.autoCleanup) ??
      true,
    autoCleanupMs: milliseconds("autoCleanupMs", options.autoCleanupMs) ??
      60_000,
    busyTimeout: milliseconds("busyTimeout", options.busyTimeout) ?? 5_000,
    synchronous: synchronous ?? "normal",
  };
}

function milliseconds(name: string, value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  const expected = "a number of ms above 0";
  return requireNumber(
    MAKING,
    name,
    expected,
    value,
    (ms) => ms > 0 && ms < Infinity,
  );
}
