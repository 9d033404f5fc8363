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
   * The file, made if there is none and readable for its owner only;
   * `":memory:"` for a store that ends with the process.
   *
   * SQLite keeps two more beside it while it is open, `-wal` and `-shm`. The
   * folder must be on a disk of this machine, not on a network.
   */
  readonly path: string | URL;
  /**
   * Whether a timer removes what has expired. It never keeps the process alive.
   *
   * @default {true}
   */
  readonly autoCleanup?: boolean | null | undefined;
  /**
   * How often, in ms.
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
   * What an acknowledged write survives: with `"normal"` the death of the
   * process, `kill -9` included; with `"full"` that of the machine too, at the
   * price of a wait for the disk with every write. After a power failure
   * `"normal"` may come back without the last writes, a logout among them, but
   * never with a damaged file.
   *
   * @default {"normal"}
   */
  readonly synchronous?: "normal" | "full" | null | undefined;
}

/** The options, complete. */
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
