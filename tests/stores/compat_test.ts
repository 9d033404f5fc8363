import type { BasicStore } from "@koa-io/session";
import {
  type ExpressSession,
  type ExpressStore,
  fromExpressStore,
  fromKeyv,
  type KeyvLike,
} from "@koa-io/session/compat";
import { testStore } from "@koa-io/session/testing";
import KeyvRedis from "@keyv/redis";
import {
  assert,
  assertEquals,
  assertGreater,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Keyv } from "keyv";
import { Keyv as Keyv6 } from "keyv-6";
import { describeOnRedis } from "../support/stores/basic_rules.ts";

const MINUTE = 60_000;

/** An express-session store that answers however a test wants. */
function answering(
  members: Partial<ExpressStore>,
): BasicStore {
  const done = (...args: unknown[]) => (args.at(-1) as () => void)();
  return fromExpressStore({ get: done, set: done, destroy: done, ...members });
}

describe("fromExpressStore", () => {
  it("passes the lifetime to the store in the cookie", async () => {
    const given: ExpressSession[] = [];
    const store = answering({
      set: (_sid, session, done) => done(null, given.push(session)),
      touch: (_sid, session, done) => done(null, given.push(session)),
    });
    await store.set("sid", { n: 1 }, MINUTE);
    await store.set("sid", { n: 1 }, "session");
    await store.touch!("sid", { n: 1 }, 2 * MINUTE);
    assertEquals(
      given.map(({ cookie }) => cookie.maxAge),
      [MINUTE, 24 * 60 * MINUTE, 2 * MINUTE],
    );
    for (const { cookie } of given) {
      assertEquals(cookie.originalMaxAge, cookie.maxAge);
      const off = cookie.expires.getTime() - Date.now() - cookie.maxAge;
      assert(Math.abs(off) < 1_000);
    }
  });

  it("hands back the session without what the store keeps beside it", async () => {
    let kept: object | undefined;
    const store = answering({
      set(_sid, session, done) {
        kept = { ...session, __lastAccess: 1 };
        done(null);
      },
      get: (_sid, done) => done(null, kept),
    });
    await store.set("sid", { cookie: "mine", n: 1 }, MINUTE);
    assertEquals(await store.get("sid"), { cookie: "mine", n: 1 });
  });

  it("has no session where express-session stored one", async () => {
    const store = answering({
      get: (_sid, done) => done(null, { cookie: {}, user: "ada" }),
    });
    assertEquals(await store.get("sid"), undefined);
  });

  it("rejects with the error of the callback", async () => {
    const error = new Error("ECONNREFUSED");
    const fail = (...args: unknown[]) =>
      (args.at(-1) as (error: Error) => void)(error);
    const store = answering({
      get: fail,
      set: fail,
      destroy: fail,
      touch: fail,
    });
    const calls = [
      () => store.get("sid"),
      () => store.set("sid", {}, MINUTE),
      () => store.destroy("sid"),
      () => store.touch!("sid", {}, MINUTE),
    ];
    for (const call of calls) {
      const rejected = await assertRejects(async () => await call(), Error);
      assertStrictEquals(rejected, error);
    }
  });

  it("rejects when a method throws, or rejects and never calls back", async () => {
    const throwing = answering({
      get: () => {
        throw new Error("thrown");
      },
    });
    await assertRejects(async () => await throwing.get("sid"), Error, "thrown");
    const rejecting = answering({
      get: () => Promise.reject(new Error("rejected")),
    });
    await assertRejects(
      async () => await rejecting.get("sid"),
      Error,
      "rejected",
    );
  });

  it("reads a missing file as a missing session", async () => {
    const missing = Object.assign(new Error("no such file"), {
      code: "ENOENT",
    });
    const store = answering({ get: (_sid, done) => done(missing) });
    assertEquals(await store.get("sid"), undefined);
  });

  it("rejects what JSON cannot hold", async () => {
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    const store = answering({});
    await assertRejects(
      async () => await store.set("sid", cyclic, MINUTE),
      TypeError,
    );
    await assertRejects(
      async () => await store.set("sid", { n: 1n }, MINUTE),
      TypeError,
    );
  });

  it("has a touch only where the store has one", () => {
    assertEquals(answering({}).touch, undefined);
  });

  it("refuses a value that is no store, naming the missing method", () => {
    for (const value of [null, {}, { get() {}, set() {} }]) {
      assertThrows(
        () => fromExpressStore(value as unknown as ExpressStore),
        TypeError,
        "must be a function",
      );
    }
  });
});

/** Each of the three operations rejects with the error of the database. */
async function assertFails(sessions: BasicStore): Promise<void> {
  const calls = [
    () => sessions.get("sid"),
    () => sessions.set("sid", {}, MINUTE),
    () => sessions.destroy("sid"),
  ];
  for (const call of calls) {
    await assertRejects(async () => await call(), Error, "ECONNREFUSED");
  }
}

describe("fromKeyv", () => {
  void testStore("Keyv 6 in memory", () => fromKeyv(new Keyv6()), {
    describe,
    it,
    ttl: 300,
  });

  void testStore(
    "Keyv in memory",
    () => fromKeyv(new Keyv({ throwOnErrors: true })),
    { describe, it, ttl: 300 },
  );

  describeOnRedis("@keyv/redis", ({ port, close }) => {
    const redis = new KeyvRedis(`redis://127.0.0.1:${port}`, {
      throwOnErrors: true,
    });
    const keyv = new Keyv({ store: redis, throwOnErrors: true });
    close(() => keyv.disconnect());
    return fromKeyv(keyv);
  });

  it("rejects when the database fails, instead of having no session", async () => {
    const fail = () => Promise.reject(new Error("ECONNREFUSED"));
    const store = { get: fail, set: fail, delete: fail, clear: fail };
    const keyv = new Keyv({
      store: Object.assign(new Map(), store),
      throwOnErrors: true,
    });
    keyv.on("error", () => {});
    const sessions = fromKeyv(keyv);
    await assertFails(sessions);
  });

  it("rejects when Keyv 6 reports an error", async () => {
    // deno-lint-ignore require-await -- Keyv 6 takes it for asynchronous by this
    const fail = async () => {
      throw new Error("ECONNREFUSED");
    };
    const store = { get: fail, set: fail, delete: fail, clear: fail };
    const keyv = new Keyv6({ store });
    const seen: unknown[] = [];
    keyv.on("error", (error) => seen.push(error));
    const sessions = fromKeyv(keyv);
    await assertFails(sessions);
    assertEquals(seen.length, 3);
  });

  it("rejects when set resolves to false", async () => {
    const keyv: KeyvLike = {
      get: () => Promise.resolve(undefined),
      set: () => Promise.resolve(false),
      delete: () => Promise.resolve(true),
    };
    await assertRejects(
      async () => await fromKeyv(keyv).set("sid", {}, MINUTE),
      Error,
      "Keyv could not store it",
    );
  });

  it('lets a session with maxAge "session" live for a day', async () => {
    const keyv = new Keyv({ throwOnErrors: true });
    await fromKeyv(keyv).set("sid", {}, "session");
    const raw = await keyv.get("sid", { raw: true }) as { expires: number };
    assertGreater(raw.expires, Date.now() + 23 * 60 * MINUTE);
  });

  it("refuses a Keyv that hides errors, and what is no Keyv", () => {
    assertThrows(() => fromKeyv(new Keyv()), TypeError, "throwOnErrors");
    assertThrows(
      () => fromKeyv({} as KeyvLike),
      TypeError,
      "get must be a function",
    );
  });
});
