/**
 * The options of {@linkcode PostgresStore}, checked once.
 *
 * @module
 */
import {
  describeValue,
  optionalBoolean,
  refuse,
  requireNumber,
  requireObject,
} from "../../base/arguments.ts";
import { hasEnded, type PostgresPool } from "./pool.ts";

/** The options of {@linkcode PostgresStore}. */
export interface PostgresStoreOptions {
  /**
   * A Pool of the package `pg`, version 8. The caller ends it. The store
   * listens to its errors until the store is closed, so that a lost connection
   * does not end the process.
   */
  readonly pool: PostgresPool;
  /**
   * The schema of the tables; left out, the first one of the `search_path`.
   */
  readonly schema?: string | null | undefined;
  /**
   * The name of the table, and what the names of the two further tables and of
   * the indexes begin with: letters, digits and underscores, at most 40.
   *
   * @default {"koa_io_sessions"}
   */
  readonly table?: string | null | undefined;
  /**
   * How often expired sessions are deleted, in ms, by one of the processes;
   * `false` leaves it to the caller, see {@linkcode PostgresStore.prune}.
   *
   * @default {60_000}
   */
  readonly prune?: number | false | null | undefined;
  /**
   * Whether waiters are woken by `LISTEN` on a connection of the store's own,
   * opened when a call first has to wait. With `false`, and wherever no
   * notification arrives (PgBouncer in transaction mode), the store polls.
   *
   * @default {true}
   */
  readonly listen?: boolean | null | undefined;
}

/** The options with their defaults. */
export interface CheckedOptions {
  readonly pool: PostgresPool;
  readonly schema: string | undefined;
  readonly table: string;
  readonly prune: number | undefined;
  readonly listen: boolean;
}

const MAKING = "make a PostgresStore";

/** The longest name of a table: PostgreSQL cuts names at 63 bytes, those of indexes are longer. */
const MAX_TABLE = 40;

/** The longest name of a schema. */
const MAX_SCHEMA = 63;

/** Checks the options and fills in the defaults. */
export function checkOptions(options: PostgresStoreOptions): CheckedOptions {
  requireObject(MAKING, "options", options);
  const { schema, table, prune } = options;
  return {
    pool: checkPool(options.pool),
    schema: schema == null
      ? undefined
      : checkName("schema", schema, MAX_SCHEMA),
    table: checkName("table", table ?? "koa_io_sessions", MAX_TABLE),
    prune: prune === false ? undefined : checkInterval(prune ?? 60_000),
    listen: optionalBoolean(MAKING, "listen", options.listen) ?? true,
  };
}

function checkPool(pool: PostgresPool): PostgresPool {
  const expected = "a Pool of pg";
  if (typeof pool !== "object" || pool === null) {
    refuse(MAKING, "pool", expected, pool);
  }
  // a Client has no totalCount; its queries would wait for each other
  for (const method of ["query", "connect", "on"] as const) {
    const value: unknown = pool[method];
    if (typeof value !== "function") {
      refuse(MAKING, `pool.${method}`, `a function, as in ${expected}`, value);
    }
  }
  if (typeof pool.totalCount !== "number") {
    const received = "connectionParameters" in pool ? "a Client" : "an object";
    throw new TypeError(
      `Cannot ${MAKING} as pool must be ${expected}: received ${received} without totalCount`,
    );
  }
  if (hasEnded(pool)) {
    throw new TypeError(
      `Cannot ${MAKING} as pool must be open: received a Pool that was ended`,
    );
  }
  return pool;
}

function checkName(option: string, name: unknown, limit: number): string {
  const expected =
    `a name of letters, digits and underscores that does not begin with a digit`;
  if (typeof name !== "string") refuse(MAKING, option, expected, name);
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    const hint = option === "table" && name.includes(".")
      ? " (the schema is an option of its own)"
      : "";
    throw new RangeError(
      `Cannot ${MAKING} as ${option} must be ${expected}: received ${
        describeValue(name)
      }${hint}`,
    );
  }
  if (name.length > limit) {
    const most = `of at most ${limit} characters`;
    refuse(MAKING, option, `a name ${most}`, name, RangeError);
  }
  return name;
}

function checkInterval(prune: unknown): number {
  const expected = "a number of ms above 0, or false";
  return requireNumber(
    MAKING,
    "prune",
    expected,
    prune,
    (ms) => ms > 0 && ms < Infinity,
  );
}
