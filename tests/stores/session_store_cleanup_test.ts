import { assert, assertEquals, assertLess } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { childOf } from "../support/child_process.ts";
import { closeStores, logOf, open } from "../support/stores/memory_stores.ts";
import { pause, until } from "../support/wait.ts";

describe("SessionStore", () => {
  afterEach(closeStores);

  describe("cleanup", () => {
    it("removes expired sessions, returns their number, and emits it", async () => {
      const store = open();
      store.set("a", {}, 10);
      store.set("b", {}, 60_000);
      store.set("c", {}, 10);
      const log = logOf(store);
      assertEquals(store.cleanup(), 0);
      assertEquals(log, []);
      await pause(20);
      assertEquals(store.cleanup(), 2);
      assertEquals(log.toSorted(), [
        "cleanup 2",
        "destroy a",
        "destroy c",
        "removed a expired",
        "removed c expired",
      ]);
      assertEquals([...store].map(([sid]) => sid), ["b"]);
      assertEquals(store.cleanup(), 0);
    });

    it("follows a life that was prolonged, and one that was cut short", async () => {
      const store = open();
      store.set("longer", {}, 100);
      store.touch("longer", 60_000);
      store.set("shorter", {}, 60_000);
      store.set("shorter", {}, 10);
      await pause(110);
      assertEquals(store.cleanup(), 1);
      assertEquals([...store].map(([sid]) => sid), ["longer"]);
    });

    it("costs what it removes, not what is there", async () => {
      const store = open();
      for (let i = 0; i < 100_000; i++) store.set(`long ${i}`, {}, 60_000);
      for (let i = 0; i < 10; i++) store.set(`short ${i}`, {}, 10);
      await pause(20);
      const start = performance.now();
      assertEquals(store.cleanup(), 10);
      for (let i = 0; i < 100; i++) store.cleanup();
      // walking over all of them a hundred times takes seconds
      assertLess(performance.now() - start, 400);
    });

    it("of many happens in order of their ends", async () => {
      const store = open();
      const ttls = Array.from({ length: 200 }, (_, i) => 1 + (i * 37) % 50);
      ttls.forEach((ttl, i) => store.set(`${ttl} ${i}`, {}, ttl));
      const ends: number[] = [];
      store.on("removed", (_sid, _reason, { expires }) => ends.push(expires));
      await pause(60);
      assertEquals(store.cleanup(), 200);
      assertEquals(ends, ends.toSorted((a, b) => a - b));
    });
  });

  describe("autoCleanup", () => {
    it("removes expired sessions on a timer", async () => {
      const store = open({ autoCleanup: true, autoCleanupMs: 20 });
      store.set("a", {}, 30);
      store.set("b", {}, 60_000);
      await until(() => store.size === 1, "the clean-up", 2_000);
      assertEquals([...store].map(([sid]) => sid), ["b"]);
    });

    it("continues after the store was empty", async () => {
      const store = open({ autoCleanup: true, autoCleanupMs: 10 });
      for (const sid of ["a", "b"]) {
        store.set(sid, {}, 10);
        await until(() => store.size === 0, "the clean-up", 2_000);
      }
    });

    it("clears thousands without stopping the process for long", async () => {
      const store = open({ autoCleanup: true, autoCleanupMs: 20 });
      let told = 0;
      store.on("cleanup", (_store, cleared) => told += cleared);
      for (let i = 0; i < 5_000; i++) store.set(`${i}`, {}, 20);
      await until(() => store.size === 0, "the clean-up", 3_000);
      assertEquals(told, 5_000);
    });

    it("does not happen when it is false", async () => {
      const store = open({ autoCleanup: false, autoCleanupMs: 1 });
      store.set("a", {}, 5);
      await pause(30);
      assertEquals(store.size, 1);
    });

    it("does not happen after close, which keeps what is stored", async () => {
      const store = open({ autoCleanup: true, autoCleanupMs: 10 });
      store.set("a", {}, 5);
      store.close();
      store.close();
      store.set("b", {}, 60_000);
      await pause(40);
      assertEquals(store.size, 2);
      assertEquals(store.get("b"), {});
    });

    it("does not keep the process alive", async () => {
      const { code, ms } = await childOf(
        new URL("../support/programs/idle_memory_store.ts", import.meta.url),
        [import.meta.resolve("@koa-io/session")],
      );
      assertEquals(code, 0);
      assertLess(ms, 20_000);
    });
  });

  describe("maxEntries", () => {
    it("evicts the least recently used session", () => {
      const store = open({ maxEntries: 3 });
      for (const sid of ["a", "b", "c"]) store.set(sid, { sid });
      const log = logOf(store);
      store.get("a");
      store.set("d", { sid: "d" });
      assertEquals(log, ["set d true", "destroy b", "removed b evicted"]);
      store.touch("c");
      store.set("a", { again: true });
      store.set("e", {});
      assertEquals([...store].map(([sid]) => sid).toSorted(), ["a", "c", "e"]);
      assertEquals(store.size, 3);
    });

    it("counts an entry once however often it is set", () => {
      const store = open({ maxEntries: 2 });
      for (let i = 0; i < 10; i++) store.set(`${i % 2}`, { i });
      assertEquals(store.size, 2);
      assertEquals(store.maxEntries, 2);
      assertEquals(open().maxEntries, Infinity);
    });

    it("evicts no live session where one has expired", async () => {
      const store = open({ maxEntries: 2 });
      store.set("stays", {}, 60_000);
      store.set("ends", {}, 10);
      await pause(20);
      const log = logOf(store);
      store.set("new", {});
      assert(!log.includes("removed stays evicted"), `${log}`);
      assertEquals(store.get("stays"), {});
    });
  });
});
