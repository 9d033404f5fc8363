/** SqliteStore where the runtime has node:sqlite, which Node 20 lacks. */
import type { SessionRecord } from "@koa-io/session";
import process from "node:process";

/** What `@koa-io/session/sqlite` exports. */
export type Sqlite = typeof import("@koa-io/session/sqlite");

/** Whether this runtime has node:sqlite. */
export const HAS_SQLITE: boolean = (process as {
  getBuiltinModule?: (id: string) => unknown;
}).getBuiltinModule?.("node:sqlite") !== undefined;

const sqlite = HAS_SQLITE ? await import("@koa-io/session/sqlite") : undefined;

/** Registers tests where there is node:sqlite; prints a notice where there is none. */
export function withSqlite(tests: (sqlite: Sqlite) => void): void {
  if (sqlite) tests(sqlite);
  else {
    console.log(
      `!!! LEFT OUT: the tests of SqliteStore: Node ${process.versions.node} has no node:sqlite`,
    );
  }
}

/** Opens a file as another program would. */
export function database(path: string): import("node:sqlite").DatabaseSync {
  const { DatabaseSync } = (process as unknown as {
    getBuiltinModule(id: string): typeof import("node:sqlite");
  }).getBuiltinModule("node:sqlite");
  return new DatabaseSync(path);
}

/** Holds SQLite's write lock, as a process in the middle of a transaction does. */
export function block(path: string): () => void {
  const db = database(path);
  db.exec("BEGIN IMMEDIATE");
  let open = true;
  return () => {
    if (open) db.close();
    open = false;
  };
}

/** The layout of the files of the first version. */
const FORMER_SCHEMA = `
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
  PRAGMA user_version = 1;
`;

/** A process of the first version that has a file open. */
export function formerFile(path: string) {
  const db = database(path);
  db.exec("PRAGMA journal_mode = WAL");
  db.exec(FORMER_SCHEMA);
  const put = db.prepare(
    `INSERT OR REPLACE INTO sessions (hash, sid, birth, version, max_age, expires,
       absolute_end, cookie, client_id, bound, settled, user, data)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const move = db.prepare("INSERT OR REPLACE INTO moved VALUES (?, ?, ?)");
  return {
    /** Writes a session, with `v-<sid>` as its version. */
    write(sid: string, record: SessionRecord): void {
      const version = `v-${sid}`;
      put.run(
        `hash-${sid}`,
        sid,
        version,
        version,
        record.maxAge,
        record.expires,
        record.absoluteEnd ?? null,
        record.cookie ?? null,
        record.clientId ?? null,
        1,
        record.settled ? 1 : 0,
        record.user ?? null,
        record.data,
      );
    },
    /** Records that a session was moved. */
    note(sid: string, to: string): void {
      move.run(sid, to, Date.now() + 600_000);
    },
    close: () => db.close(),
  };
}
