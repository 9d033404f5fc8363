/**
 * The database of {@linkcode PostgresStore}: runs its statements on the pool,
 * once the server and the tables have been checked.
 *
 * @module
 */
import { pause } from "../../base/timers.ts";
import { hasEnded, type PostgresPool } from "./pool.ts";
import {
  creation,
  INSPECT,
  type Inspected,
  MIN_SERVER,
  missingColumns,
  type Tables,
  tablesOf,
} from "./schema.ts";

/** Codes of errors after which nothing is written, and a repetition may succeed: serialization failure and deadlock. */
const REPEATABLE = ["40001", "40P01"];

/** How often a statement is repeated whose connection is lost. */
const REPETITIONS = 10;

/** How often a statement is repeated that conflicts with other transactions. */
const CONFLICTS = 20;

/** The longest pause between conflicts, in ms; the first is at most 1 ms, each further one twice as long. */
const MAX_PAUSE = 64;

/** Every value as the text that PostgreSQL sends, whatever parsers the application has set. */
const AS_TEXT = { getTypeParser: () => (value: unknown) => value };

/** A row with text values. */
export type TextRow = Readonly<Record<string, string | null>>;

/** The store's database. */
export class Database {
  readonly pool: PostgresPool;
  readonly tables: Tables;
  readonly #schema: string | undefined;
  readonly #table: string;
  #checked: Promise<void> | undefined;
  #isChecked = false;

  constructor(
    pool: PostgresPool,
    schema: string | undefined,
    table: string,
  ) {
    this.pool = pool;
    this.#schema = schema;
    this.#table = table;
    this.tables = tablesOf(schema, table);
  }

  /**
   * Runs a statement that may be repeated, and repeats it if its connection is
   * lost: pools hand out connections that were cut while they were idle.
   *
   * @returns its rows
   */
  async run<T = TextRow>(
    text: string,
    values: readonly unknown[],
  ): Promise<readonly T[]> {
    return (await this.#repeat(text, values)).rows as T[];
  }

  /**
   * Runs a statement that writes once, and repeats it if its connection is lost.
   *
   * @returns its row, and after a repetition the error: without a row, the
   * statement may have written the first time
   */
  async write(
    text: string,
    values: readonly unknown[],
  ): Promise<{ readonly row: TextRow | undefined; readonly doubt?: unknown }> {
    const { rows, doubt } = await this.#repeat(text, values);
    return { row: rows[0], doubt };
  }

  /** Runs a statement whose repetition would have another result; returns its row. */
  async once(
    text: string,
    values: readonly unknown[],
  ): Promise<TextRow | undefined> {
    return (await this.#run(text, values))[0];
  }

  /** Like {@linkcode run}, for a statement that returns one row at most. */
  async first<T = TextRow>(
    text: string,
    values: readonly unknown[],
  ): Promise<T | undefined> {
    return (await this.run<T>(text, values))[0];
  }

  /** Runs several statements in one round trip and one transaction; returns the rows of the last. */
  async runAll(statements: readonly string[]): Promise<readonly TextRow[]> {
    if (!this.#isChecked) await this.#check();
    return await this.#transaction(statements);
  }

  /** Creates what is missing. Does nothing, and needs no rights, where nothing is. */
  async migrate(): Promise<void> {
    const inspected = await this.#inspect();
    const missing = this.#findMissing(inspected);
    if (missing !== undefined) {
      // one process creates, the others wait and find everything there
      const lock =
        `SELECT pg_advisory_xact_lock(hashtext('koa-io-session:${this.#table}'))`;
      await this.#transaction([lock, ...creation(this.#schema, this.#table)]);
      this.#isChecked = false;
    }
    await this.#check();
  }

  /** Forgets the check: the next statement repeats it. */
  recheck(): void {
    this.#isChecked = false;
  }

  /** Repeats a statement while its connection is lost: the pool may have several that were cut. */
  async #repeat(
    text: string,
    values: readonly unknown[],
  ): Promise<{ readonly rows: readonly TextRow[]; readonly doubt: unknown }> {
    let doubt: unknown;
    for (let repetition = 0;; repetition++) {
      try {
        return { rows: await this.#run(text, values), doubt };
      } catch (error) {
        if (repetition === REPETITIONS || !isConnectionLost(error)) throw error;
        doubt ??= error;
      }
    }
  }

  async #run(
    text: string,
    values: readonly unknown[],
  ): Promise<readonly TextRow[]> {
    if (!this.#isChecked) await this.#check();
    return (await this.#query({ text, values })).rows as TextRow[];
  }

  async #transaction(
    statements: readonly string[],
  ): Promise<readonly TextRow[]> {
    // several statements without values are one transaction, where each sees what others have committed
    const text = [
      "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
      ...statements,
    ].join(";\n");
    const results = await this.#query({ text }) as unknown as {
      rows: TextRow[];
    }[];
    return results.at(-1)!.rows;
  }

  async #check(): Promise<void> {
    this.#checked ??= this.#inspect().then((inspected) => {
      const missing = this.#findMissing(inspected);
      if (missing !== undefined) throw this.#missingTable(missing);
      this.#isChecked = true;
    }).finally(() => this.#checked = undefined);
    await this.#checked;
  }

  async #inspect(): Promise<Inspected> {
    const { sessions, former, locks } = this.tables;
    const values = [sessions, former, locks];
    const { rows } = await this.#query({ text: INSPECT, values });
    const inspected = rows[0] as Inspected;
    if (Number(inspected.server) < MIN_SERVER) {
      throw new Error(
        `Cannot use a PostgresStore as the server must be PostgreSQL ${
          MIN_SERVER / 10_000
        } or newer: received ${inspected.name}`,
      );
    }
    return inspected;
  }

  /** The first table that does not exist. */
  #findMissing(inspected: Inspected): string | undefined {
    let missing: string | undefined;
    for (const table of ["sessions", "former", "locks"] as const) {
      const columns = missingColumns(inspected, table);
      if (columns === undefined) missing ??= this.tables[table];
      else if (columns.length > 0) {
        throw new Error(
          `Cannot use a PostgresStore as the table ${
            this.tables[table]
          } must be one that migrate() made: received one without ${
            columns.join(", ")
          }`,
        );
      }
    }
    return missing;
  }

  #missingTable(table: string, cause?: unknown): Error {
    return new Error(
      `Cannot use a PostgresStore as the table ${table} must exist: call await store.migrate(), or run the SQL of docs/postgres.md`,
      { cause },
    );
  }

  async #query(
    { text, values }: { text: string; values?: readonly unknown[] },
  ): Promise<{ rows: readonly unknown[] }> {
    for (let repetition = 0;; repetition++) {
      if (hasEnded(this.pool)) {
        throw new Error(
          "Cannot use a PostgresStore as its pool must be open: received a Pool that was ended",
        );
      }
      try {
        const query = { text, types: AS_TEXT };
        return await this.pool.query(
          values ? { ...query, values: [...values] } : query,
        );
      } catch (error) {
        const { code } = error as { code?: string };
        if (
          repetition === CONFLICTS || !code || !REPEATABLE.includes(code)
        ) throw this.#named(error);
        // transactions that are repeated at once meet each other again
        await pause(Math.random() * Math.min(2 ** repetition, MAX_PAUSE));
      }
    }
  }

  #named(error: unknown): unknown {
    if (typeof error !== "object" || error === null) return error;
    // these quote rows, and with them ids
    for (const field of ["detail", "where", "internalQuery"]) {
      if (field in error) {
        Reflect.set(error, field, undefined);
      }
    }
    const { code, message } = error as { code?: string; message?: string };
    if (code !== "42P01") return error;
    this.recheck();
    const [, table = this.tables.sessions] = /"([^"]+)"/.exec(message ?? "") ??
      [];
    return this.#missingTable(table, error);
  }
}

/** Whether an error is of the connection: nothing is known of the statement. */
function isConnectionLost(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  // an administrator's command, a crash, and class 08 of PostgreSQL
  return /^(57P0[12]|08\w{3}|ECONNRESET|EPIPE)$/.test(String(code)) ||
    /^Connection terminated/.test(String(message));
}
