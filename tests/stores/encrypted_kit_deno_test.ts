import { encrypted } from "@koa-io/session/encrypted";
import { RedisStore } from "@koa-io/session/redis";
import { testStore } from "@koa-io/session/testing";
import { describe, it } from "@std/testing/bdd";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { redisKit } from "../support/redis/kit.ts";
import { type Sqlite, withSqlite } from "../support/sqlite.ts";

const key = randomBytes(32);

describe("the conformance kit, on an encrypted store", () => {
  withSqlite(({ SqliteStore }: Sqlite) => {
    const dirs = new Map<object, string>();
    // of two nodes in the middle of a change of keys
    const keys = [key, randomBytes(32)];
    const open = (dir: string, keys: Uint8Array[]) => {
      const store = encrypted(
        new SqliteStore({ path: join(dir, "sessions.db") }),
        { keys },
      );
      dirs.set(store, dir);
      return store;
    };
    void testStore(
      "in SQLite, whose peer has the keys in another order",
      () => open(mkdtempSync(join(tmpdir(), "koa-io-session-")), keys),
      {
        describe,
        it,
        peer: (store) => open(dirs.get(store)!, keys.toReversed()),
        async dispose(store) {
          await store.close();
          rmSync(dirs.get(store)!, { recursive: true });
        },
      },
    );
  });

  redisKit(
    "in Redis",
    "redis",
    (client, prefix) =>
      encrypted(new RedisStore({ client, prefix }), { keys: [key] }),
  );
});
