import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { closeStores, logOf, open } from "../support/stores/memory_stores.ts";
import { record } from "../support/stores/records.ts";
import { deferred, pause, settles } from "../support/wait.ts";

describe("SessionStore as a store of the atomic tier", () => {
  afterEach(closeStores);

  it("get and set keep what a record was bound to", () => {
    const store = open();
    const kept = {
      absoluteEnd: Date.now() + 70_000,
      clientId: "client",
      settled: true,
      user: "ada",
      created: Date.now(),
      authenticatedAt: Date.now() + 1,
      arrived: Date.now() - 0.25,
      meta: "{}",
      handle: "h",
    };
    store.write("a", record({ ...kept, data: '{"n":1}' }), null);
    assertEquals(store.get("a"), { n: 1 });
    store.set("a", { n: 2 }, 100_000);
    const stored = store.read("a")!;
    assertEquals({ ...stored, ...kept }, stored);
    assertEquals(stored.expires, kept.absoluteEnd);
    assert(Date.now() - stored.lastUsed! < 5_000);
    assertEquals(store.byClient("client"), "a");
    assertEquals(store.byUser("ada"), ["a"]);
  });

  it("every time is given back as it was, however it relates to others", () => {
    const store = open();
    const now = Date.now();
    const times = [
      undefined,
      0,
      -1,
      1e-9,
      now,
      now - 5.000244140625,
      now + 1 / 3,
      now - 1e11,
      2 ** 53,
      Number.MAX_VALUE,
      Infinity,
    ];
    for (const created of times) {
      for (const time of times) {
        const of = record({
          created,
          authenticatedAt: time,
          arrived: time,
          lastUsed: time,
        });
        const sid = `${created} ${time}`;
        const version = store.write(sid, of, null)!;
        assertEquals(store.read(sid), { ...of, version });
        store.extend(sid, of.expires + 1_000);
        const expires = of.expires + 1_000;
        assertEquals(store.read(sid), { ...of, expires, version });
      }
    }
  });

  it("a move emits set for the new id and destroy for the former one", () => {
    const store = open();
    store.write("a", record({ user: "ada" }), null);
    const log = logOf(store);
    const removed: unknown[] = [];
    store.on("removed", (_sid, _reason, { user }) => removed.push(user));
    const { version: expected } = store.read("a")!;
    store.move("a", "b", record(), { expected }, "");
    assertEquals(log, ["set b true", "destroy a", "removed a moved"]);
    assertEquals(removed, ["ada"]);
    assertEquals([...store.keys()], ["b"]);
    assertEquals(store.size, 1);
  });

  it("destroy keeps a note, but nothing of koa-session's call", () => {
    const store = open();
    store.set("a", {});
    store.destroy("a", { ctx: {} });
    assertEquals(store.former("a"), undefined);
    store.set("a", {});
    store.destroy("a", "note");
    assertEquals(store.former("a")?.note, "note");
  });

  it("a moved session expires at its own time", async () => {
    const store = open({ autoCleanup: true, autoCleanupMs: 20 });
    store.write("a", record(), null);
    const { version: expected } = store.read("a")!;
    const brief = record({ expires: Date.now() + 30 });
    store.move("a", "b", brief, { expected }, "");
    const gone = deferred<string>();
    store.on("destroy", (_store, sid) => gone.resolve(sid));
    assertEquals(await settles(gone.promise, "the expiry"), "b");
  });

  it("a set changes the version that writers expect", () => {
    const store = open();
    store.set("a", { n: 1 });
    const before = store.read("a")!;
    store.set("a", { n: 2 });
    assertEquals(store.write("a", before, before.version), undefined);
    assertNotEquals(store.read("a")!.version, before.version);
    assertEquals(store.get("a"), { n: 2 });
  });

  it("what was read cannot be used to change what is stored", () => {
    const store = open();
    store.set("a", { n: 1 });
    const read = store.read("a") as unknown as Record<string, unknown>;
    try {
      read.data = '{"n":2}';
      read.expires = 0;
    } catch {
      // a frozen one is as good
    }
    assertEquals(store.get("a"), { n: 1 });
  });

  it("the index of users does not outlive their sessions", async () => {
    const store = open();
    store.set("a", {}, 10);
    const of = { ...store.read("a")!, user: "ada", clientId: "c" };
    store.write("a", of, of.version);
    await pause(20);
    store.cleanup();
    assertEquals(store.byUser("ada"), []);
    assertEquals(store.byClient("c"), undefined);
  });
});
