/** SqliteStore where the runtime has node:sqlite, which Node 20 lacks. */
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
