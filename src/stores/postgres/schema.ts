/**
 * The tables of {@linkcode PostgresStore}: their names, their columns, and the
 * statements that create them.
 *
 * @module
 */
import { FIELDS } from "./record.ts";

/** The first version of PostgreSQL that the statements are for, as `server_version_num`. */
export const MIN_SERVER = 130_000;

/** The names of the tables, quoted. */
export interface Tables {
  readonly sessions: string;
  readonly former: string;
  readonly locks: string;
}

/** The tables of a store. */
export function tablesOf(schema: string | undefined, table: string): Tables {
  const prefix = schema === undefined ? "" : `"${schema}".`;
  return {
    sessions: `${prefix}"${table}"`,
    former: `${prefix}"${table}_former"`,
    locks: `${prefix}"${table}_locks"`,
  };
}

// `birth` distinguishes a session from an earlier one of the same id. `bound`
// orders the sessions of a client. A lease is `token` and `lease_until`, which
// after its release is the time of that; `queue` holds its waiters, `woken`
// those that a move has to wake, as an UPDATE returns the new row only.
const COLUMNS: Readonly<
  Record<keyof Tables, Readonly<Record<string, string>>>
> = {
  sessions: {
    sid: "text PRIMARY KEY",
    hash: "text NOT NULL",
    birth: "text NOT NULL",
    version: "text NOT NULL",
    bound: "double precision NOT NULL",
    token: "text",
    lease_until: "double precision NOT NULL DEFAULT 0",
    queue: "text[] NOT NULL DEFAULT '{}'",
    woken: "text[] NOT NULL DEFAULT '{}'",
    ...FIELDS,
  },
  former: {
    sid: "text PRIMARY KEY",
    moved_to: "text",
    at: "double precision NOT NULL",
    note: "text NOT NULL",
  },
  locks: {
    name: "text PRIMARY KEY",
    token: "text NOT NULL",
    until: "double precision NOT NULL",
  },
};

/** The statements that create what is missing; each can be repeated. */
export function creation(
  schema: string | undefined,
  table: string,
): readonly string[] {
  const { sessions, former, locks } = tablesOf(schema, table);
  const create = (name: string, of: keyof Tables, options = "") => {
    const columns = Object.entries(COLUMNS[of]).map((column) =>
      `  ${column.join(" ")}`
    );
    return `CREATE TABLE IF NOT EXISTS ${name} (\n${
      columns.join(",\n")
    }\n)${options}`;
  };
  const index = (suffix: string, on: string) =>
    `CREATE INDEX IF NOT EXISTS "${table}_${suffix}" ON ${on}`;
  return [
    // room for new versions of a row on its page: most writes change no index
    create(sessions, "sessions", " WITH (fillfactor = 70)"),
    index("by_hash", `${sessions} (hash)`),
    index("by_prune_after", `${sessions} (prune_after)`),
    index(
      "by_client",
      `${sessions} (client_id, bound) WHERE client_id IS NOT NULL`,
    ),
    index("by_user", `${sessions} (user_id) WHERE user_id IS NOT NULL`),
    create(former, "former"),
    index("former_by_at", `${former} (at)`),
    create(locks, "locks"),
  ];
}

/** Reads the version of the server, and the columns of the tables: null for a table that does not exist. */
export const INSPECT = `SELECT current_setting('server_version_num') AS server,
  current_setting('server_version') AS name, ${
  ["sessions", "former", "locks"].map((table, i) =>
    `(SELECT json_agg(attname) FROM pg_catalog.pg_attribute
   WHERE attrelid = to_regclass($${
      i + 1
    }) AND attnum > 0 AND NOT attisdropped) AS ${table}`
  ).join(",\n  ")
}`;

/** The result of {@linkcode INSPECT}. */
export type Inspected = Readonly<
  Record<"server" | "name", string> & Record<keyof Tables, string | null>
>;

/** The columns that a table lacks; `undefined` where there is no such table. */
export function missingColumns(
  inspected: Inspected,
  table: keyof Tables,
): readonly string[] | undefined {
  const columns = inspected[table];
  if (columns === null) return undefined;
  const found = JSON.parse(columns) as string[];
  return Object.keys(COLUMNS[table]).filter((name) => !found.includes(name));
}
