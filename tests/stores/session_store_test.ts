import { SessionStore } from "@koa-io/session";
import {
  assertEquals,
  assertGreaterOrEqual,
  assertLess,
  assertLessOrEqual,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import {
  closeStores,
  closing,
  logOf,
  open,
} from "../support/stores/memory_stores.ts";
import { pause } from "../support/wait.ts";

/** When a session ends, ms since the epoch. */
const endOf = (store: SessionStore, sid: string) => store.read(sid)!.expires;

describe("SessionStore", () => {
  afterEach(closeStores);

  describe("get and set", () => {
    it("set returns true, get a session that equals it", () => {
      const store = open();
      assertEquals(store.set("a", { n: 1, nested: { list: [1] } }), true);
      assertEquals(store.get("a"), { n: 1, nested: { list: [1] } });
      assertEquals(store.get("b"), undefined);
    });

    it("hold copies: callers cannot corrupt what is stored", () => {
      const store = open();
      const session = { nested: { n: 1 } };
      store.set("a", session);
      session.nested.n = 2;
      const got = store.get("a") as { nested: { n: number } };
      assertEquals(got, { nested: { n: 1 } });
      got.nested.n = 3;
      for (const [, each] of store) (each as typeof got).nested.n = 4;
      assertEquals(store.get("a"), { nested: { n: 1 } });
    });

    it("keep koa-session's bookkeeping", () => {
      const store = open();
      const session = { n: 1, _expire: Date.now() + 60_000, _maxAge: 60_000 };
      store.set("a", session, 70_000);
      assertEquals(store.get("a"), session);
      store.set("b", { n: 1, _session: true }, "session");
      assertEquals(store.get("b"), { n: 1, _session: true });
    });

    it("set with null destroys", () => {
      const store = open();
      store.set("a", { n: 1 });
      const log = logOf(store);
      assertEquals(store.set("a", null), true);
      assertEquals(store.get("a"), undefined);
      assertEquals(log, ["destroy a", "removed a destroyed"]);
    });

    it("accept an id that is named like a member of Object.prototype", () => {
      const store = open();
      for (const sid of ["__proto__", "constructor", "toString"]) {
        assertEquals(store.get(sid), undefined);
        store.set(sid, { sid });
        assertEquals(store.get(sid), { sid });
      }
      assertEquals(store.size, 3);
    });

    it("set refuses an id, a session or a maxAge that is none", () => {
      const store = open();
      const cyclic: Record<string, unknown> = {};
      cyclic.self = cyclic;
      const wrong = [1, undefined, null, {}] as unknown as string[];
      for (const sid of wrong) {
        assertThrows(() => store.set(sid, {}), TypeError, "id");
      }
      for (const session of [1, "text", true, [], cyclic, { n: 1n }]) {
        assertThrows(() => store.set("a", session as never), TypeError);
      }
      for (const maxAge of ["1", {}, true]) {
        assertThrows(() => store.set("a", {}, maxAge as never), TypeError);
      }
      for (const maxAge of [0, -1, NaN]) {
        assertThrows(() => store.set("a", {}, maxAge), RangeError);
      }
      assertEquals(store.size, 0);
    });

    it("a set that is refused leaves the session that was there", () => {
      const store = open();
      store.set("a", { n: 1 });
      assertThrows(() => store.set("a", { n: 1n } as never), TypeError);
      assertEquals(store.get("a"), { n: 1 });
    });
  });

  describe("maxAge", () => {
    it("is 30 days, or the store's option", () => {
      assertEquals(open().maxAge, 30 * 86_400_000);
      assertEquals(open({ maxAge: null }).maxAge, 30 * 86_400_000);
      assertEquals(open({ maxAge: 5_000 }).maxAge, 5_000);
      assertEquals(open({ maxAge: "session" }).maxAge, 86_400_000);
    });

    it("ends a session, at get, with a destroy event", async () => {
      const store = open({ maxAge: 30 });
      store.set("a", { n: 1 });
      store.set("b", { n: 1 }, 60_000);
      const log = logOf(store);
      await pause(40);
      assertEquals(log, []);
      assertEquals(store.size, 2);
      assertEquals(store.get("a"), undefined);
      assertEquals(store.get("b"), { n: 1 });
      assertEquals(log, ["destroy a", "removed a expired"]);
      assertEquals(store.size, 1);
    });

    it("of a set is kept by a later set without one", () => {
      const store = open({ maxAge: 60_000 });
      store.set("a", { n: 1 }, 10_000);
      store.set("a", { n: 2 });
      assertEquals(store.get("a"), { n: 2 });
      assertLessOrEqual(endOf(store, "a"), Date.now() + 10_000);
    });

    it("may be longer than a timer can wait", async () => {
      const store = open({ maxAge: 2 ** 40, autoCleanup: true });
      store.set("a", { n: 1 });
      await pause(20);
      assertEquals(store.get("a"), { n: 1 });
    });
  });

  describe("destroy and delete", () => {
    it("return whether there was a live session", async () => {
      const store = open();
      for (const end of ["destroy", "delete"] as const) {
        store.set("a", {});
        assertEquals(store[end]("a"), true);
        assertEquals(store[end]("a"), false);
        assertEquals(store[end]("never"), false);
        store.set("b", {}, 10);
        await pause(20);
        assertEquals(store[end]("b"), false);
      }
    });

    it("emit each removal once", () => {
      const store = open();
      store.set("a", {});
      const log = logOf(store);
      store.destroy("a");
      store.destroy("a");
      assertEquals(log, ["destroy a", "removed a destroyed"]);
    });
  });

  describe("touch", () => {
    it("prolongs a life from now on, by what it was set to", async () => {
      const store = open({ maxAge: 90_000 });
      store.set("a", { n: 1 }, 60_000);
      await pause(20);
      const now = Date.now();
      assertEquals(store.touch("a"), true);
      assertGreaterOrEqual(endOf(store, "a"), now + 60_000);
      assertLess(endOf(store, "a"), now + 80_000);
      assertEquals(store.get("a"), { n: 1 });
    });

    it("prolongs by its argument, and restores nothing", async () => {
      const store = open({ maxAge: 10_000 });
      store.set("a", { n: 1 });
      const now = Date.now();
      assertEquals(store.touch("a", 60_000), true);
      assertGreaterOrEqual(endOf(store, "a"), now + 60_000);
      assertEquals(store.touch("never"), false);
      store.set("b", {}, 10);
      await pause(20);
      assertEquals(store.touch("b"), false);
      assertEquals(store.get("b"), undefined);
      assertThrows(() => store.touch("a", 0), RangeError);
    });
  });

  describe("on and off", () => {
    it("set is emitted with the store, the id and whether it is new", () => {
      const store = open();
      const told: unknown[][] = [];
      assertStrictEquals(
        store.on("set", (...args) => told.push(args)),
        store,
      );
      store.set("a", { n: 1 });
      store.set("a", { n: 2 });
      store.destroy("a");
      store.set("a", { n: 3 });
      assertEquals(told.map(([, ...rest]) => rest), [
        ["a", true],
        ["a", false],
        ["a", true],
      ]);
      for (const [from] of told) assertStrictEquals(from, store);
    });

    it("a set over an expired session is of a new one", async () => {
      const store = open();
      store.set("a", {}, 10);
      await pause(20);
      const log = logOf(store);
      store.set("a", {});
      assertEquals(log, ["destroy a", "removed a expired", "set a true"]);
    });

    it("destroy is emitted after the removal", () => {
      const store = open();
      let found: unknown = "not asked";
      store.on("destroy", (from, sid) => found = from.get(sid));
      store.set("a", {});
      store.destroy("a");
      assertEquals(found, undefined);
    });

    it("off undoes on", () => {
      const store = open();
      const log: string[] = [];
      const listener = (_store: SessionStore, sid: string) => {
        log.push(sid);
      };
      store.on("destroy", listener);
      store.set("a", {});
      store.destroy("a");
      assertStrictEquals(store.off("destroy", listener), store);
      store.set("b", {});
      store.destroy("b");
      assertEquals(log, ["a"]);
    });
  });

  describe("size and iteration", () => {
    it("give the live sessions as [sid, session]", async () => {
      const store = open();
      store.set("a", { n: 1 });
      store.set("b", { n: 2 });
      store.set("c", { n: 3 }, 10);
      assertEquals(store.size, 3);
      await pause(20);
      assertEquals([...store], [["a", { n: 1 }], ["b", { n: 2 }]]);
      assertEquals([...store.entries()], [...store]);
      assertEquals([...store.keys()], ["a", "b", "c"]);
      assertEquals(store.has("a"), true);
      assertEquals(store.has("c"), false);
      assertEquals(store.has("never"), false);
    });

    it("allow destroy during the iteration", () => {
      const store = open();
      for (let i = 0; i < 10; i++) store.set(`${i}`, { i });
      for (const [sid] of store) store.destroy(sid);
      assertEquals(store.size, 0);
    });
  });

  describe("options", () => {
    it("of the wrong type are refused by name", () => {
      for (const options of [null, 1, "x"]) {
        assertThrows(
          () => new SessionStore(options as never),
          TypeError,
          "options",
        );
      }
      for (const name of ["maxAge", "autoCleanupMs", "maxEntries"]) {
        for (const value of ["1", {}, true, []]) {
          assertThrows(() => open({ [name]: value }), TypeError, name);
        }
      }
      for (const value of [1, "true", {}]) {
        assertThrows(
          () => open({ autoCleanup: value as never }),
          TypeError,
          "autoCleanup",
        );
      }
    });

    it("out of range are refused by name", () => {
      for (const name of ["maxAge", "autoCleanupMs", "maxEntries"]) {
        for (const value of [0, -1, NaN]) {
          assertThrows(() => open({ [name]: value }), RangeError, name);
        }
      }
      assertThrows(() => open({ maxEntries: 1.5 }), RangeError, "maxEntries");
    });

    it("that are null, or the bridge's, are ignored", () => {
      const options = {
        maxAge: null,
        autoCleanup: null,
        autoCleanupMs: null,
        maxEntries: null,
        key: "sid",
        signed: true,
      };
      const frozen = Object.freeze(options);
      const store = new SessionStore(frozen);
      closing(store);
      assertEquals(store.maxAge, 30 * 86_400_000);
    });
  });
});
