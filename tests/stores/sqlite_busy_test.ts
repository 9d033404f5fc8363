import { assert, assertEquals, assertLess } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { block, database, type Sqlite, withSqlite } from "../support/sqlite.ts";
import { record } from "../support/stores/records.ts";
import { pause, settles } from "../support/wait.ts";

type Store = InstanceType<Sqlite["SqliteStore"]>;

/** The longest time that a timer was late while `work` ran, in ms. */
async function worstDelay(work: () => Promise<unknown>): Promise<number> {
  let [worst, last] = [0, performance.now()];
  const timer = setInterval(() => {
    const now = performance.now();
    worst = Math.max(worst, now - last - 5);
    last = now;
  }, 5);
  try {
    await work();
    await pause(10);
  } finally {
    clearInterval(timer);
  }
  return worst;
}

withSqlite(({ SqliteStore }) => {
  describe("SqliteStore and the event loop", () => {
    let dir: string;
    let path: string;
    const stores: Store[] = [];

    const open = (options: object = {}): Store => {
      const store = new SqliteStore({ path, autoCleanup: false, ...options });
      stores.push(store);
      return store;
    };

    beforeEach(() => {
      dir = mkdtempSync(join(tmpdir(), "busy-"));
      path = join(dir, "sessions.db");
    });
    afterEach(() => {
      for (const store of stores.splice(0)) store.close();
      rmSync(dir, { recursive: true });
    });

    it("calls that wait for another process do not block this one", async () => {
      const store = open();
      for (let n = 0; n < 100; n++) await store.write(`s${n}`, record(), null);
      const release = block(path);
      const calls: Promise<unknown>[] = [];
      const delay = await worstDelay(async () => {
        for (let n = 0; n < 100; n++) {
          calls.push(store.acquire(`s${n}`, `t${n}`, 5_000, 5_000));
        }
        await pause(500);
        assert(await store.read("s1"), "reads do not wait");
      });
      release();
      const acquired = await settles(Promise.all(calls), "the calls", 2_000);
      assert(
        acquired.every((result) =>
          (result as { status: string }).status === "granted"
        ),
      );
      assertLess(delay, 250);
    });

    it("calls that wait for another process all reject at busyTimeout", async () => {
      const store = open({ busyTimeout: 100 });
      const release = block(path);
      const from = performance.now();
      const results = await Promise.allSettled(
        Array.from(
          { length: 50 },
          (_, n) => store.write(`s${n}`, record(), null),
        ),
      );
      release();
      assert(results.every(({ status }) => status === "rejected"));
      const took = performance.now() - from;
      assert(took >= 95 && took < 400, String(took));
      assert(await store.write("s", record(), null));
    });

    it("many calls at once are spread over several turns of the event loop", async () => {
      const store = open();
      let fired = 0;
      const timer = setInterval(() => fired++, 1);
      await Promise.all(
        Array.from(
          { length: 2_000 },
          (_, n) => store.write(`s${n}`, record(), null),
        ),
      );
      clearInterval(timer);
      assert(fired >= 5, `${fired} times`);
    });

    it("calls that follow one another let timers fire in between", async () => {
      const store = open();
      await store.write("s", record(), null);
      let fired = 0;
      const timer = setInterval(() => fired++, 1);
      const since = performance.now();
      // a fast runtime makes 3,000 calls in a few turns of 5 ms
      for (let n = 0; n < 3_000 || performance.now() - since < 60; n++) {
        await store.read("s");
      }
      clearInterval(timer);
      assert(fired >= 5, `${fired} times`);
    });

    it("a waiter that gives up while another process writes is out of the line", async () => {
      const store = open();
      const other = database(path);
      await store.write("s", record(), null);
      await store.acquire("s", "holder", 60_000, 0);
      const first = store.acquire("s", "first", 5_000, 300);
      await pause(200);
      // there is always a later waiter of the same process
      const later = store.acquire("s", "later", 5_000, 60_000);
      await pause(50);
      other.exec("BEGIN IMMEDIATE");
      assertEquals(
        (await settles(first, "the first", 3_000)).status,
        "timeout",
      );
      await pause(100);
      other.exec("COMMIT");
      other.close();
      await store.commit("s", "holder", undefined);
      const granted = await settles(later, "the later one", 2_000);
      assertEquals(granted.status, "granted");
      await store.commit("s", "later", undefined);
    });

    it("an entry without a waiter is dead, although its process has other waiters", async () => {
      const store = open();
      const other = database(path);
      await store.write("s", record(), null);
      await store.acquire("s", "holder", 60_000, 0);
      const gone = store.acquire("s", "gone", 5_000, 60_000);
      gone.catch(() => {});
      await pause(50);
      other.exec("UPDATE waiters SET token = 'orphan' WHERE token = 'gone'");
      const later = store.acquire("s", "later", 5_000, 60_000);
      await pause(1_500);
      other.close();
      await store.commit("s", "holder", undefined);
      for (
        const [token, waiting] of [["later", later], ["gone", gone]] as const
      ) {
        const granted = await settles(waiting, token, 2_000);
        assertEquals(granted.status, "granted");
        await store.commit("s", token, undefined);
      }
    });

    it("many waiters whose session ends do not block the event loop", async () => {
      const store = open();
      await store.write("s", record(), null);
      await store.acquire("s", "holder", 60_000, 0);
      const waiting = Array.from(
        { length: 1_000 },
        (_, n) => store.acquire("s", `t${n}`, 5_000, 60_000),
      );
      await pause(500);
      let fired = 0;
      const timer = setInterval(() => fired++, 1);
      await store.destroy("s");
      for (const { status } of await Promise.all(waiting)) {
        assertEquals(status, "missing");
      }
      clearInterval(timer);
      assert(fired >= 3, `${fired} times`);
    });
  });
});
