import {
  assert,
  assertEquals,
  assertLess,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import {
  existsSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { childOf } from "../support/child_process.ts";
import {
  block,
  database,
  HAS_SQLITE,
  type Sqlite,
  withSqlite,
} from "../support/sqlite.ts";
import { record } from "../support/stores/records.ts";
import { pause, settles, until } from "../support/wait.ts";

type Store = InstanceType<Sqlite["SqliteStore"]>;

if (!HAS_SQLITE) {
  describe("@koa-io/session/sqlite without node:sqlite", () => {
    it("cannot be imported, with an error that names node:sqlite", async () => {
      const specifier = "@koa-io/session/sqlite";
      await assertRejects(
        () => import(specifier),
        Error,
        "Cannot import @koa-io/session/sqlite as node:sqlite is missing: it needs Node 22.13 or newer, or Deno",
      );
    });
  });
}

withSqlite(({ SqliteStore }) => {
  describe("SqliteStore", () => {
    let dir: string;
    let path: string;
    const stores: Store[] = [];

    const open = (options: object = {}): Store => {
      const store = new SqliteStore({ path, ...options });
      stores.push(store);
      return store;
    };
    /** What has expired so long ago that no reader is shown it. */
    const old = (over: object = {}) =>
      record({ expires: Date.now() - 60_000, ...over });

    beforeEach(() => {
      dir = mkdtempSync(join(tmpdir(), "koa-io-session-"));
      path = join(dir, "sessions.db");
    });
    afterEach(() => {
      for (const store of stores.splice(0)) store.close();
      rmSync(dir, { recursive: true });
    });

    it("keeps sessions over a restart", async () => {
      const first = open();
      const kept = record({ user: "ada", clientId: "c", settled: true });
      const version = await first.write("sid", kept, null);
      const full = record({
        created: 1,
        authenticatedAt: 2,
        lastUsed: 3,
        arrived: 4.25,
        meta: "{}",
        handle: "h",
      });
      const expected = (await first.write("old", record(), null))!;
      await first.move("old", "new", full, { expected }, "why");
      first.close();
      const second = open();
      assertEquals(await second.read("sid"), { ...kept, version: version! });
      assertEquals(await second.byUser("ada"), ["sid"]);
      assertEquals(await second.byClient("c"), "sid");
      const { version: _, ...moved } = (await second.read("new"))!;
      assertEquals(moved, full);
      const { to, note } = (await second.former("old"))!;
      assertEquals([to, note], ["new", "why"]);
    });

    it("cleanup removes former ids and locks whose time is over", async () => {
      const store = open({ autoCleanup: false });
      await store.write("sid", record(), null);
      await store.destroy("sid", "note");
      await store.tryLock("over", "token", 0.001);
      await store.tryLock("held", "token", 60_000);
      const db = database(path);
      db.exec("UPDATE former SET at = at - 600001");
      await pause(5);
      await store.cleanup();
      const count = (table: string) =>
        (db.prepare(`SELECT count(*) AS n FROM ${table}`).get() as {
          n: number;
        }).n;
      assertEquals([count("former"), count("locks")], [0, 1]);
      db.close();
    });

    it("a lease outlives a restart of its holder", async () => {
      const first = open();
      await first.write("sid", record(), null);
      await first.acquire("sid", "token", 60_000, 0);
      first.close();
      const second = open();
      const other = await second.acquire("sid", "other", 60_000, 0);
      assertEquals(other, { status: "timeout" });
      const committed = await second.commit("sid", "token", undefined);
      assertEquals(committed.status, "done");
    });

    it("makes a file that only its owner can read", () => {
      open();
      if (process.platform === "win32") return;
      for (const name of [path, `${path}-wal`]) {
        assertEquals(statSync(name).mode & 0o077, 0, name);
      }
    });

    it("accepts a file: URL, and :memory:", async () => {
      open({ path: pathToFileURL(path) });
      assert(existsSync(path));
      const memory = open({ path: ":memory:" });
      const other = open({ path: ":memory:" });
      await memory.write("sid", record(), null);
      assertEquals(await other.read("sid"), undefined);
    });

    it("refuses a file that is not its own", () => {
      writeFileSync(path, "no database at all, but long enough to be one");
      assertThrows(() => open(), Error, "sessions.db");
      const other = join(dir, "other.db");
      const db = database(other);
      db.exec("CREATE TABLE users (name)");
      db.close();
      assertThrows(() => open({ path: other }), Error, "another database");
      assertThrows(() => open({ path: join(dir, "no", "folder.db") }), Error);
    });

    it("refuses options that are wrong, by name", () => {
      const wrong: [string, unknown, typeof TypeError | typeof RangeError][] = [
        ["path", undefined, TypeError],
        ["path", "", TypeError],
        ["path", 1, TypeError],
        ["path", {}, TypeError],
        ["autoCleanup", 1, TypeError],
        ["autoCleanupMs", "1", TypeError],
        ["autoCleanupMs", 0, RangeError],
        ["autoCleanupMs", NaN, RangeError],
        ["busyTimeout", {}, TypeError],
        ["busyTimeout", -1, RangeError],
        ["busyTimeout", Infinity, RangeError],
        ["synchronous", "off", TypeError],
        ["synchronous", true, TypeError],
      ];
      for (const [name, value, kind] of wrong) {
        assertThrows(() => open({ [name]: value }), kind, name);
      }
      for (const options of [undefined, null, 1]) {
        assertThrows(
          () => new SqliteStore(options as never),
          TypeError,
          "options",
        );
      }
      open({
        autoCleanup: null,
        autoCleanupMs: null,
        busyTimeout: null,
        synchronous: null,
      });
      open({ synchronous: "full" });
    });

    it("cleanup removes what has expired, in batches, and nothing else", async () => {
      const store = open({ autoCleanup: false });
      const told: string[] = [];
      store.on("removed", (sid, reason) => told.push(`${sid} ${reason}`));
      for (let i = 0; i < 1_200; i++) {
        await store.write(`old ${i}`, old({ user: "ada" }), null);
      }
      await store.write("new", record({ user: "ada" }), null);
      assertEquals(await store.cleanup(), 1_200);
      assertEquals(told.length, 1_200);
      assert(told.every((line) => line.endsWith(" expired")));
      assertEquals(await store.cleanup(), 0);
      assertEquals(await store.byUser("ada"), ["new"]);
    });

    it("cleans up on a timer", async () => {
      const store = open({ autoCleanupMs: 20 });
      const told: string[] = [];
      store.on("destroy", (_store, sid) => told.push(sid));
      await store.write("old", old(), null);
      await store.write("new", record(), null);
      await until(() => told.length > 0, "the clean-up");
      assertEquals(told, ["old"]);
      assert(await store.read("new"));
    });

    it("a clean-up that fails is emitted as an error, and is retried", async () => {
      const store = open({ autoCleanupMs: 20, busyTimeout: 1 });
      const errors: unknown[] = [];
      store.on("error", (error) => errors.push(error));
      const release = block(path);
      try {
        await until(() => errors.length > 1, "the errors");
      } finally {
        release();
      }
      await store.write("old", old(), null);
      const told: string[] = [];
      store.on("destroy", (_store, sid) => told.push(sid));
      await until(() => told.length > 0, "the clean-up");
    });

    it("waits for a writer in another process without blocking this one", async () => {
      const store = open();
      const release = block(path);
      let ticks = 0;
      const timer = setInterval(() => ticks++, 5);
      try {
        const writing = store.write("sid", record(), null);
        assertEquals(await store.read("sid"), undefined);
        await until(() => ticks >= 10, "time going on");
        release();
        assert(await settles(writing, "the write"));
      } finally {
        clearInterval(timer);
        release();
      }
    });

    it("rejects after busyTimeout when the writer does not finish", async () => {
      const store = open({ busyTimeout: 100 });
      await store.write("sid", record(), null);
      const release = block(path);
      try {
        const calls = [
          () => store.write("other", record(), null),
          () => store.destroy("sid"),
          () => store.extend("sid", Date.now() + 7_200_000),
          () => store.acquire("sid", "token", 1_000, 1_000),
          () => store.commit("sid", "token", undefined),
        ];
        const from = Date.now();
        for (const call of calls) {
          await assertRejects(call, Error, "database is locked");
        }
        assertLess(Date.now() - from, 3_000);
        assert(await store.read("sid"), "readers are blocked");
      } finally {
        release();
      }
      assertEquals(await store.destroy("sid"), true);
    });

    it("a waiter outlasts a writer in another process", async () => {
      const store = open({ busyTimeout: 50 });
      await store.write("sid", record(), null);
      await store.acquire("sid", "first", 150, 0);
      const waiting = store.acquire("sid", "second", 1_000, 5_000);
      const release = block(path);
      setTimeout(release, 300);
      const acquired = await settles(waiting, "the lease");
      assertEquals(acquired.status, "granted");
    });

    it("close rejects waiters, and later calls", async () => {
      const store = open();
      await store.write("sid", record(), null);
      await store.acquire("sid", "first", 60_000, 0);
      const waiting = store.acquire("sid", "second", 60_000, 60_000);
      const refused = assertRejects(() => waiting, Error, "closed");
      store.close();
      store.close();
      await refused;
      await assertRejects(() => store.read("sid"), Error, "closed");
      await assertRejects(() => store.cleanup(), Error, "closed");
    });

    it("is closed by using and await using", async () => {
      const first = open();
      first[Symbol.dispose]();
      await assertRejects(() => first.read("sid"), Error, "closed");
      const second = open();
      await second[Symbol.asyncDispose]();
      await assertRejects(() => second.read("sid"), Error, "closed");
    });

    it("emits removals with their reasons, until off", async () => {
      const store = open();
      const told: unknown[][] = [];
      const listener = (...args: unknown[]) => void told.push(args);
      assertStrictEquals(store.on("removed", listener), store);
      await store.write("a", record({ user: "ada" }), null);
      await store.write("b", record(), null);
      await store.destroy("a");
      await store.destroy("a");
      const expected = (await store.read("b"))!.version;
      await store.move("b", "c", record(), { expected }, "");
      assertEquals(told.map(([sid, reason]) => [sid, reason]), [
        ["a", "destroyed"],
        ["b", "moved"],
      ]);
      assertEquals((told[0]![2] as { user: string }).user, "ada");
      store.off("removed", listener);
      await store.write("d", record(), null);
      await store.destroy("d");
      assertEquals(told.length, 2);
    });

    it("a version is refused after the file was replaced by an empty one", async () => {
      const first = open();
      const version = await first.write("sid", record(), null);
      first.close();
      path = join(dir, "again.db");
      const second = open();
      await second.write("sid", record(), null);
      assertEquals(await second.write("sid", record(), version!), undefined);
    });

    it("does not keep the process alive", async () => {
      const { code, stdout } = await childOf(
        new URL("../support/programs/idle_sqlite_store.ts", import.meta.url),
        [import.meta.resolve("@koa-io/session/sqlite"), path],
      );
      assertEquals(code, 0);
      assertStringIncludes(stdout, "stored");
      assert(await open().read("sid"));
    });
  });
});
