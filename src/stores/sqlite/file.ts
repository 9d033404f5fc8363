/**
 * A SQLite file as {@linkcode SqliteStore} uses it: opening, schema, and
 * transactions that wait for other processes without blocking this one.
 *
 * @module
 */
import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { Lane } from "./lane.ts";
import { Turn } from "./turn.ts";

/** The methods of node:sqlite's statements that are used: Node 20's types do not have them. */
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

/** The version of the schema, stored in the file as `user_version`. */
const FORMAT = 2;

const FORMER_AND_LOCKS = `
  CREATE TABLE former (
    sid TEXT NOT NULL PRIMARY KEY,
    moved_to TEXT,
    at REAL NOT NULL,
    note TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX former_by_at ON former (at);
  CREATE TABLE locks (
    name TEXT NOT NULL PRIMARY KEY,
    token TEXT NOT NULL,
    until REAL NOT NULL
  ) WITHOUT ROWID;
  PRAGMA user_version = ${FORMAT};
`;

// `birth` distinguishes a session from an earlier one of the same id: leases and
// waiters refer to it, so that none outlives its session.
// Leases have a table of their own: taking one must not rewrite the data.
const SCHEMA = `
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
    data TEXT NOT NULL,
    created REAL,
    authenticated_at REAL,
    last_used REAL,
    arrived REAL,
    meta TEXT,
    handle TEXT
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
${FORMER_AND_LOCKS}`;

// A process of the former version that still has the file open can go on: its
// statements name their columns, and its table `moved` stays.
const UPGRADE = `
  ALTER TABLE sessions ADD COLUMN created REAL;
  ALTER TABLE sessions ADD COLUMN authenticated_at REAL;
  ALTER TABLE sessions ADD COLUMN last_used REAL;
  ALTER TABLE sessions ADD COLUMN arrived REAL;
  ALTER TABLE sessions ADD COLUMN meta TEXT;
  ALTER TABLE sessions ADD COLUMN handle TEXT;
${FORMER_AND_LOCKS}`;

const SQLITE_BUSY = 5;

/** Whether an error was caused by a transaction of another process. */
export function isBusy(error: unknown): boolean {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  // the upper bits are the kind of busy
  return typeof code === "number" && (code & 0xff) === SQLITE_BUSY;
}

/** An open database, in a file or in memory. */
export class SqliteFile {
  readonly #db: Database;
  readonly #begin: Statement;
  readonly #commit: Statement;
  readonly #rollback: Statement;
  readonly #turn = new Turn();
  readonly #reads: Lane;
  readonly #writes: Lane;
  #open = true;

  constructor(path: string, busyTimeout: number, synchronous: string) {
    const lane = { turn: this.#turn, timeout: busyTimeout, isBusy };
    this.#reads = new Lane(lane);
    this.#writes = new Lane(lane);
    // SQLite would create the file with the permissions of the umask
    if (path !== ":memory:") closeSync(openSync(path, "a", 0o600));
    this.#db = new DatabaseSync(path);
    try {
      this.#db.exec(`PRAGMA busy_timeout = ${Math.ceil(busyTimeout)}`);
      this.#db.exec("PRAGMA journal_mode = WAL");
      this.#db.exec(`PRAGMA synchronous = ${synchronous}`);
      // prepared, as the errors of Deno's exec() lack their cause
      this.#begin = this.#db.prepare("BEGIN IMMEDIATE");
      this.#commit = this.#db.prepare("COMMIT");
      this.#rollback = this.#db.prepare("ROLLBACK");
      this.transaction(() => this.#createSchema());
      // from here on SQLite must not block this process for another one's transaction
      this.#db.exec("PRAGMA busy_timeout = 0");
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

  /** Runs `work` in a transaction that excludes other writers. */
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
        // already rolled back, after a full disk for example: report the first error
      }
      throw error;
    }
  }

  /**
   * Runs `work`, which only reads, and repeats it while other processes lock
   * the file, until `busyTimeout`. The pauses do not block this process, and
   * neither do many calls at once: what does not fit into this turn of the
   * event loop runs in a later one.
   */
  read<T>(work: () => T): Promise<T> {
    return this.#run(this.#reads, work);
  }

  /** The same for work that writes; such calls run in order of arrival. */
  write<T>(work: () => T): Promise<T> {
    return this.#run(this.#writes, work);
  }

  /** Whether further work must wait for the next turn of the event loop. */
  get isTurnOver(): boolean {
    return this.#turn.isOver;
  }

  /** Runs `work` at once, and counts its time. */
  spend<T>(work: () => T): T {
    return this.#turn.spend(work);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#reads.stop(closedError());
    this.#writes.stop(closedError());
    this.#db.close();
  }

  #run<T>(lane: Lane, work: () => T): Promise<T> {
    return this.#open ? lane.run(work) : Promise.reject(closedError());
  }

  #createSchema(): void {
    const { user_version: format } = this.#db.prepare("PRAGMA user_version")
      .get() as { user_version: number };
    if (format === FORMAT) return;
    if (format === 1) return this.#db.exec(UPGRADE);
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
    this.#db.exec(SCHEMA);
  }
}

function closedError(): Error {
  return new Error("Cannot use the SqliteStore as it is closed");
}
