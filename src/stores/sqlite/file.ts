/**
 * One SQLite file as {@linkcode SqliteStore} uses it: opened, laid out, and
 * written to in transactions that wait for other processes without blocking
 * this one.
 *
 * @module
 */
import { closeSync, openSync } from "node:fs";
import process from "node:process";

/** What is used of node:sqlite's statements: the types of Node 20 do not know them. */
export interface Statement {
  get(...values: Value[]): unknown;
  all(...values: Value[]): unknown[];
  run(...values: Value[]): { readonly changes: number | bigint };
}

type Value = string | number | null;

interface Database {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}

// A static import would fail with a message that names neither this package nor the version needed.
const sqlite = (process as {
  getBuiltinModule?: (id: string) => unknown;
}).getBuiltinModule?.("node:sqlite") as
  | { readonly DatabaseSync: new (path: string) => Database }
  | undefined;

if (sqlite === undefined) {
  throw new Error(
    "Cannot import @koa-io/session/sqlite as node:sqlite is missing: it needs Node 22.13 or newer, or Deno",
  );
}
const { DatabaseSync } = sqlite;

/** The layout that this version writes; kept in the file as `user_version`. */
const FORMAT = 1;

// `birth` tells a session from an earlier one of the same id: leases and
// waiters name it, so that none outlives the session it was meant for.
// Leases stand beside the sessions: taking one must not rewrite the data.
const LAYOUT = `
  CREATE TABLE sessions (
    sid TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL,
    birth TEXT NOT NULL,
    version TEXT NOT NULL,
    max_age REAL NOT NULL,
    expires REAL NOT NULL,
    absolute_end REAL,
    cookie,
    client_id TEXT,
    bound INTEGER NOT NULL,
    settled INTEGER NOT NULL,
    user TEXT,
    data TEXT NOT NULL
  );
  CREATE INDEX sessions_by_hash ON sessions (hash);
  CREATE INDEX sessions_by_expires ON sessions (expires);
  CREATE INDEX sessions_by_client ON sessions (client_id, bound) WHERE client_id IS NOT NULL;
  CREATE INDEX sessions_by_user ON sessions (user) WHERE user IS NOT NULL;
  CREATE TABLE leases (
    sid TEXT NOT NULL PRIMARY KEY,
    birth TEXT NOT NULL,
    token TEXT NOT NULL,
    until REAL NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE waiters (
    turn INTEGER PRIMARY KEY,
    sid TEXT NOT NULL,
    birth TEXT NOT NULL,
    token TEXT NOT NULL UNIQUE,
    process TEXT NOT NULL,
    alive_until REAL NOT NULL
  );
  CREATE INDEX waiters_by_sid ON waiters (sid, birth, turn);
  CREATE TABLE moved (
    sid TEXT NOT NULL PRIMARY KEY,
    moved_to TEXT NOT NULL,
    until REAL NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX moved_by_until ON moved (until);
  PRAGMA user_version = ${FORMAT};
`;

/** How long SQLite itself may block this process for another one's transaction, in ms. */
const BLOCKING = 20;

const SQLITE_BUSY = 5;

/** Whether another process was in a transaction just then. */
export function isBusy(error: unknown): boolean {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  // the upper bits say which kind of busy
  return typeof code === "number" && (code & 0xff) === SQLITE_BUSY;
}

/**
 * A string as a column holds it. SQLite cannot hold every JavaScript string:
 * text ends at a NUL for some readers, and lone surrogates become one another.
 */
export function toColumn(text: string): string {
  return /^"|\0|\p{Surrogate}/u.test(text) ? JSON.stringify(text) : text;
}

/** The string that {@linkcode toColumn} was given. */
export function fromColumn(text: string): string {
  return text.startsWith('"') ? JSON.parse(text) as string : text;
}

/** An open file, or memory. */
export class SqliteFile {
  readonly #db: Database;
  readonly #begin: Statement;
  readonly #commit: Statement;
  readonly #rollback: Statement;
  readonly #busyTimeout: number;
  #open = true;

  constructor(path: string, busyTimeout: number, synchronous: string) {
    this.#busyTimeout = busyTimeout;
    // SQLite would make the file readable for everybody that the umask lets in
    if (path !== ":memory:") closeSync(openSync(path, "a", 0o600));
    this.#db = new DatabaseSync(path);
    try {
      this.#db.exec(`PRAGMA busy_timeout = ${Math.ceil(busyTimeout)}`);
      this.#db.exec("PRAGMA journal_mode = WAL");
      this.#db.exec(`PRAGMA synchronous = ${synchronous}`);
      // prepared, as Deno's exec() does not say why it failed
      this.#begin = this.#db.prepare("BEGIN IMMEDIATE");
      this.#commit = this.#db.prepare("COMMIT");
      this.#rollback = this.#db.prepare("ROLLBACK");
      this.transaction(() => this.#layOut());
      this.#db.exec(`PRAGMA busy_timeout = ${BLOCKING}`);
    } catch (cause) {
      this.#db.close();
      throw new Error(
        `Cannot open ${path} as it must be a file of SqliteStore, or none yet: ${
          cause instanceof Error ? cause.message : String(cause)
        }`,
        { cause },
      );
    }
  }

  get closed(): boolean {
    return !this.#open;
  }

  prepare(sql: string): Statement {
    return this.#db.prepare(sql);
  }

  /** All of `work`, or nothing of it, alone among all processes. */
  transaction<T>(work: () => T): T {
    this.#begin.run();
    try {
      const result = work();
      this.#commit.run();
      return result;
    } catch (error) {
      try {
        this.#rollback.run();
      } catch {
        // a full disk, for one, has rolled it back already: what matters is why
      }
      throw error;
    }
  }

  /**
   * Does `work` now, or, while other processes are in the way, as soon as they
   * let it: this process goes on with other things meanwhile.
   */
  async run<T>(work: () => T): Promise<T> {
    const deadline = Date.now() + this.#busyTimeout;
    for (let pause = 1;; pause = Math.min(2 * pause, 32)) {
      if (!this.#open) {
        throw new Error("Cannot use the SqliteStore as it is closed");
      }
      try {
        return work();
      } catch (error) {
        if (!isBusy(error) || Date.now() >= deadline) throw error;
      }
      // a random pause, so that two who met here do not meet again
      await new Promise((resolve) =>
        setTimeout(resolve, Math.random() * pause)
      );
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#db.close();
  }

  #layOut(): void {
    const { user_version: format } = this.#db.prepare("PRAGMA user_version")
      .get() as { user_version: number };
    if (format === FORMAT) return;
    const { n: tables } = this.#db.prepare(
      "SELECT count(*) AS n FROM sqlite_schema",
    ).get() as { n: number };
    if (format !== 0 || tables > 0) {
      throw new Error(
        format === 0
          ? "received another database"
          : `received format ${format}`,
      );
    }
    this.#db.exec(LAYOUT);
  }
}
