import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childOf } from "../support/child_process.ts";
import { formerFile, type Sqlite, withSqlite } from "../support/sqlite.ts";
import { record } from "../support/stores/records.ts";

type Store = InstanceType<Sqlite["SqliteStore"]>;

withSqlite(({ SqliteStore }) => {
  describe("SqliteStore on a file of the first version", () => {
    let dir: string;
    let path: string;
    const stores: Store[] = [];

    const open = (): Store => {
      const store = new SqliteStore({ path });
      stores.push(store);
      return store;
    };

    beforeEach(() => {
      dir = mkdtempSync(join(tmpdir(), "koa-io-session-"));
      path = join(dir, "sessions.db");
    });
    afterEach(() => {
      for (const store of stores.splice(0)) store.close();
      rmSync(dir, { recursive: true });
    });

    it("upgrades a file of the former layout, whose processes go on", async () => {
      const former = formerFile(path);
      const old = record({ clientId: "c", user: "ada" });
      former.write("sid", old);
      const [store, other] = [open(), open()];
      assertEquals(await store.read("sid"), { ...old, version: "v-sid" });
      assertEquals(await other.byClient("c"), "sid");
      former.write("late", old);
      former.note("gone", "late");
      former.close();
      assertEquals(await other.read("late"), { ...old, version: "v-late" });
      const full = record({ created: 1, handle: "h" });
      const condition = { expected: "v-late" };
      const moved = await store.move("late", "to", full, condition, "why");
      assertEquals(moved.status, "done");
      assertEquals((await other.read("to"))!.handle, "h");
      assertEquals((await other.former("late"))!.to, "to");
      assert(await store.tryLock("name", "token", 1_000));
      assertEquals(await open().read("sid"), { ...old, version: "v-sid" });
    });

    it("upgrades a file once when many processes open it at once", async () => {
      const former = formerFile(path);
      former.write("sid", record());
      former.close();
      const url = new URL(
        "../support/programs/open_sqlite_store.ts",
        import.meta.url,
      );
      const module = import.meta.resolve("@koa-io/session/sqlite");
      const children = await Promise.all(
        Array.from({ length: 4 }, () => childOf(url, [module, path])),
      );
      for (const { code, stdout } of children) {
        assertEquals(code, 0);
        assertStringIncludes(stdout, "v-sid");
      }
    });
  });
});
