import { encrypted } from "@koa-io/session/encrypted";
import { RedisStore } from "@koa-io/session/redis";
import { testStore } from "@koa-io/session/testing";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openClient, type OwnedClient } from "../support/redis/clients.ts";
import {
  itNeedsRedis,
  type RedisServer,
  startRedis,
} from "../support/redis/server.ts";
import { redisServerPath } from "../support/requires.ts";
import { type Sqlite, withSqlite } from "../support/sqlite.ts";
import { newId } from "../support/stores/records.ts";
import { sharedKit } from "../support/stores/shared_kit.ts";

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

  describe("in Redis", () => {
    const path = redisServerPath();
    let server: RedisServer;
    let clients: OwnedClient[];
    const prefix = newId();
    const open = (n: number) =>
      encrypted(new RedisStore({ client: clients[n]!.client, prefix }), {
        keys: [key],
      });

    beforeAll(async () => {
      if (!path) return;
      server = await startRedis();
      clients = [
        await openClient("redis", server.port),
        await openClient("redis", server.port),
      ];
    });
    afterAll(async () => {
      if (!path) return;
      for (const client of clients) client.close();
      await server.stop();
    });

    sharedKit(itNeedsRedis, open);
  });
});
