import { SessionStore, type SharedStore } from "@koa-io/session";
import type { PostgresPool } from "@koa-io/session/postgres";
import { RedisStore } from "@koa-io/session/redis";
import { storeRules, testStore } from "@koa-io/session/testing";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Address } from "../support/postgres/cluster.ts";
import { itNeedsPostgres, withPostgres } from "../support/postgres/server.ts";
import { type Stores, storesAt } from "../support/postgres/stores.ts";
import {
  openClient,
  type OwnedClient,
  PACKAGES,
} from "../support/redis/clients.ts";
import {
  itNeedsRedis,
  type RedisServer,
  startRedis,
} from "../support/redis/server.ts";
import { redisServerPath } from "../support/requires.ts";
import { type Sqlite, withSqlite } from "../support/sqlite.ts";
import { newId } from "../support/stores/records.ts";

describe("the conformance kit", () => {
  void testStore(
    "SessionStore",
    () => new SessionStore({ autoCleanup: false }),
    {
      describe,
      it,
    },
  );

  void testStore(
    "SessionStore with a timer and a limit",
    () => new SessionStore({ autoCleanupMs: 50, maxEntries: 2_000 }),
    { describe, it },
  );

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

  for (const listen of [true, false]) {
    const how = listen ? "notified" : "polling";
    describe(`PostgresStore, ${how}`, () => {
      let address: Address;
      let stores: Stores;
      let pools: PostgresPool[];
      const open = (n: number) => stores.open({ listen, pool: pools[n]! });
      withPostgres((found) => address = found);
      beforeAll(() => {
        if (!address) return;
        stores = storesAt(address);
        pools = [stores.pool(), stores.pool()];
      });
      afterAll(() => stores?.close());

      const shared = { scope: "shared" } as SharedStore;
      for (const rule of storeRules(shared, { peer: true })) {
        itNeedsPostgres(rule.name, async () => {
          const store = await open(0);
          try {
            await rule.run(store, { peer: () => open(1) });
          } finally {
            await store.close();
          }
        });
      }
    });
  }

  for (const name of PACKAGES) {
    describe(`RedisStore on ${name}`, () => {
      const path = redisServerPath();
      let server: RedisServer;
      let clients: OwnedClient[];
      const prefix = newId();
      const open = (n: number) =>
        new RedisStore({ client: clients[n]!.client, prefix });

      beforeAll(async () => {
        if (!path) return;
        server = await startRedis();
        clients = [
          await openClient(name, server.port),
          await openClient(name, server.port),
        ];
      });
      afterAll(async () => {
        if (!path) return;
        for (const client of clients) client.close();
        await server.stop();
      });

      const shared = { scope: "shared" } as SharedStore;
      for (const rule of storeRules(shared, { peer: true })) {
        itNeedsRedis(rule.name, async () => {
          const store = open(0);
          try {
            await rule.run(store, { peer: () => open(1) });
          } finally {
            await store.close();
          }
        });
      }
    });
  }
});
