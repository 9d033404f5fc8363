/** The same tests of a bridge on each kind of store. */
import { afterEach, describe, it } from "@std/testing/bdd";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { itNeedsRedis, withRedisServer } from "../redis/server.ts";
import { type Stores, storesOf } from "../redis/stores.ts";
import { closeServers, type TestOptions } from "../server.ts";
import { withSqlite } from "../sqlite.ts";
import { fakeStore } from "./fake_store.ts";
import { closeStores, open } from "./memory_stores.ts";

/** One kind of store. */
export interface StoreKind {
  readonly name: "memory" | "basic" | "SQLite" | "Redis";
  /** As `it`; skipped where the store cannot run. */
  readonly it: (name: string, body: () => Promise<void>) => void;
  /** Opens a store, or another one on the same file or server: closed after the test, after all servers. */
  open(): Promise<NonNullable<TestOptions["store"]>>;
  /** The port of Redis. */
  port(): number;
  /** The prefix of the keys in Redis, or the path of the SQLite file. */
  place(): string;
}

/** Registers tests on each kind of store. */
export function onEachStore(tests: (kind: StoreKind) => void): void {
  const none = { port: () => 0, place: () => "" };

  describe("on SessionStore", () => {
    afterEach(async () => {
      await closeServers();
      closeStores();
    });
    tests({
      name: "memory",
      it,
      open: () => Promise.resolve(open()),
      ...none,
    });
  });

  describe("on a basic store", () => {
    afterEach(closeServers);
    tests({
      name: "basic",
      it,
      open: () => Promise.resolve(fakeStore() as never),
      ...none,
    });
  });

  withSqlite(({ SqliteStore }) => {
    describe("on SqliteStore", () => {
      let dir: string | undefined;
      const opened: InstanceType<typeof SqliteStore>[] = [];
      const place = () => {
        dir ??= mkdtempSync(join(tmpdir(), "koa-io-session-"));
        return join(dir, "sessions.db");
      };
      afterEach(async () => {
        await closeServers();
        for (const store of opened.splice(0)) store.close();
        if (dir) rmSync(dir, { recursive: true });
        dir = undefined;
      });
      tests({
        name: "SQLite",
        it,
        place,
        port: none.port,
        open() {
          const store = new SqliteStore({ path: place() });
          opened.push(store);
          return Promise.resolve(store);
        },
      });
    });
  });

  describe("on RedisStore", () => {
    let port: number;
    let stores: Stores | undefined;
    const current = () => stores ??= storesOf("redis");
    withRedisServer((server) => port = server.port);
    afterEach(async () => {
      await closeServers();
      await stores?.close();
      stores = undefined;
    });
    tests({
      name: "Redis",
      it: itNeedsRedis,
      open: () => current().open(port),
      port: () => port,
      place: () => current().prefix,
    });
  });
}
