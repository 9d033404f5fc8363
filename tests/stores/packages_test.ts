/** Stores that applications have before they come to the bridge, each in the newest version of its package. */
import type { BasicStore } from "@koa-io/session";
import { type ExpressStore, fromExpressStore } from "@koa-io/session/compat";
import { testStore } from "@koa-io/session/testing";
import { assertEquals, assertRejects } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import createSqliteStore from "better-sqlite3-session-store";
import createPostgresStore from "connect-pg-simple";
import { RedisStore } from "connect-redis";
import expressSession from "express-session";
import createKoaRedis from "koa-redis";
import createMemoryStore from "memorystore";
import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
// @ts-types="@types/pg"
import pg from "pg";
import createFileStore from "session-file-store";
import { Redis } from "ioredis";
import { itNeedsPostgres, withPostgres } from "../support/postgres/server.ts";
import type { Address } from "../support/postgres/cluster.ts";
import { newTable } from "../support/postgres/stores.ts";
import { itNeedsRedis, startRedis } from "../support/redis/server.ts";
import { postgresBin } from "../support/requires.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { database, HAS_SQLITE } from "../support/sqlite.ts";
import {
  describeBasic,
  describeOnRedis,
} from "../support/stores/basic_rules.ts";
import { newId } from "../support/stores/records.ts";
import { once } from "../support/wait.ts";

/** What packages want to be given as express-session: the class to extend. */
const express = { Store: EventEmitter };

type Make = (express: unknown) => new (options: object) => ExpressStore;

describe("fromExpressStore, of the packages", () => {
  const MemoryStore = (createMemoryStore as unknown as Make)(express);
  void testStore(
    "memorystore",
    () => fromExpressStore(new MemoryStore({})),
    { describe, it, ttl: 300 },
  );

  const FileStore = (createFileStore as unknown as Make)(express);
  const dirs = new Map<BasicStore, string>();
  void testStore("session-file-store", () => {
    const path = mkdtempSync(join(tmpdir(), "koa-io-session-"));
    const options = { path, retries: 0, reapInterval: -1, logFn() {} };
    const store = fromExpressStore(new FileStore(options));
    dirs.set(store, path);
    return store;
  }, {
    describe,
    it,
    ttl: 300,
    dispose: (store) => rmSync(dirs.get(store)!, { recursive: true }),
  });

  void testStore(
    "the MemoryStore of express-session",
    () => fromExpressStore(new expressSession.MemoryStore()),
    { describe, it, ttl: 300 },
  );

  describeOnRedis("connect-redis", ({ client }) => {
    const options = { client: client as never, prefix: newId() };
    return fromExpressStore(new RedisStore(options) as ExpressStore);
  });

  let address: Address;
  withPostgres((found) => address = found);
  describeBasic("connect-pg-simple", {
    it: itNeedsPostgres,
    isThere: postgresBin() !== undefined,
    open(close) {
      const pool = new pg.Pool(address);
      const tableName = newTable();
      const PostgresStore = (createPostgresStore as unknown as Make)(express);
      const store = new PostgresStore({
        pool,
        tableName,
        createTableIfMissing: true,
        pruneSessionInterval: false,
      });
      close(() => pool.end());
      close(() => pool.query(`DROP TABLE IF EXISTS ${tableName}`));
      return fromExpressStore(store);
    },
  });

  if (HAS_SQLITE) {
    describeBasic("better-sqlite3-session-store on node:sqlite", {
      it,
      isThere: true,
      open(close) {
        const client = database(":memory:");
        close(() => client.close());
        const SqliteStore = (createSqliteStore as unknown as Make)(express);
        // its timer cannot be stopped
        class Quiet extends SqliteStore {
          startInterval() {}
        }
        return fromExpressStore(new Quiet({ client }));
      },
    });
  }
});

/** A store of koa-redis, on a client that is closed with it. */
async function koaRedis(port: number) {
  const client = new Redis(port, "127.0.0.1");
  client.on("error", () => {});
  await once(client, "ready");
  const store = createKoaRedis({ client }) as unknown as BasicStore;
  return {
    store,
    async close() {
      const ended = once(client, "end");
      client.disconnect();
      await ended;
    },
  };
}

describe("koa-redis", () => {
  afterEach(closeServers);

  describeOnRedis("koa-redis", async ({ port, close }) => {
    const { store, close: disconnect } = await koaRedis(port);
    close(disconnect);
    return store;
  }, /"session"|what the bridge and koa-session add/);

  itNeedsRedis("fails by itself where maxAge is session", async () => {
    const redis = await startRedis();
    const { store, close } = await koaRedis(redis.port);
    await assertRejects(async () => await store.set("sid", {}, "session"));
    await close();
    await redis.stop();
  });

  itNeedsRedis(
    "is not believed to report removals, as its on never does",
    async () => {
      const redis = await startRedis();
      const { store, close } = await koaRedis(redis.port);
      const { browser } = await startServer(
        { store } as TestOptions,
        (parts) => {
          parts.app.use(async (ctx, next) => {
            if (ctx.path !== "/slow") return await next();
            ctx.session!.n = 2;
            // another program logs the user out
            await store.destroy(ctx.sessionId!);
            ctx.body = "";
          });
          routesAndEvents(parts);
        },
      );
      const ada = browser();
      await ada.post("/session", { json: { n: 1 } });
      await ada.get("/slow");
      assertEquals((await ada.get("/session")).json.session, {});
      await closeServers();
      await close();
      await redis.stop();
    },
  );
});
