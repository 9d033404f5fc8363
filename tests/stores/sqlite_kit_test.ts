import { testStore } from "@koa-io/session/testing";
import { describe, it } from "@std/testing/bdd";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Sqlite, withSqlite } from "../support/sqlite.ts";

describe("the conformance kit, on SQLite", () => {
  withSqlite(({ SqliteStore }: Sqlite) => {
    const dirs = new Map<object, string>();
    void testStore(
      "SqliteStore",
      () => {
        const dir = mkdtempSync(join(tmpdir(), "koa-io-session-"));
        const store = new SqliteStore({ path: join(dir, "sessions.db") });
        dirs.set(store, dir);
        return store;
      },
      {
        describe,
        it,
        peer: (store) =>
          new SqliteStore({ path: join(dirs.get(store)!, "sessions.db") }),
        dispose(store) {
          store.close();
          rmSync(dirs.get(store)!, { recursive: true });
        },
      },
    );

    void testStore(
      "SqliteStore in memory",
      () => new SqliteStore({ path: ":memory:", autoCleanupMs: 50 }),
      { describe, it },
    );
  });
});
