/**
 * The rules of the basic tier: what koa-session requires of a store.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { BasicStore, SessionData } from "../api/store.ts";
import {
  eventually,
  id,
  megabyte,
  ODD_DATA,
  pause,
  rule as anyRule,
  type RuleContext,
  type StoreRule,
} from "./kit.ts";

const MINUTE = 60_000;

const rule = (
  name: string,
  body: (store: BasicStore, context: RuleContext) => Promise<void>,
) => anyRule("basic", name, body);

/** Whether there is no session: a store may return `null` or `undefined`. */
async function isGone(store: BasicStore, sid: string): Promise<boolean> {
  return await store.get(sid, MINUTE) == null;
}

async function set(
  store: BasicStore,
  data: SessionData,
  maxAge: number | "session" = MINUTE,
): Promise<string> {
  const sid = id();
  await store.set(sid, data, maxAge);
  return sid;
}

const ttlOf = (context: RuleContext) => context.ttl ?? 1_000;

/** How long past its end a session may be returned, in ms: stores that count in seconds round up. */
const LATE = 3_000;

/** The rules of the basic tier; those on optional members only if the store has them. */
export function basicRules(store: BasicStore): StoreRule[] {
  return [
    ...RULES,
    // SessionStore has a touch of its own, as atomic stores have extend
    ...(typeof store.touch === "function" && !("scope" in store)
      ? TOUCH_RULES
      : []),
    ...(typeof store.on === "function" ? ON_RULES : []),
  ];
}

const RULES: readonly StoreRule[] = [
  rule("get: nothing for an id that was never set", async (store) => {
    assert(await isGone(store, id()));
  }),

  rule(
    "get: nothing for an id named like a member of objects",
    async (store) => {
      for (const sid of ["__proto__", "constructor", "toString"]) {
        assert(await isGone(store, sid), `there is something under ${sid}`);
      }
    },
  ),

  rule("set: the session is read back as it was", async (store) => {
    const data = {
      user: "ada",
      cart: [{ id: 1, n: 2 }],
      _expire: Date.now() + MINUTE,
      _maxAge: MINUTE,
    };
    const sid = await set(store, data);
    assert.deepEqual(await store.get(sid, MINUTE), data);
  }),

  rule("set: what the bridge and koa-session add is kept", async (store) => {
    const data = {
      _session: true,
      _bridge: {
        clientId: "c",
        settled: true,
        user: "ada",
        created: Date.now(),
        arrived: Date.now() - 0.25,
        meta: '{"ip":"::1"}',
        handle: "h",
      },
    };
    const sid = await set(store, data, "session");
    assert.deepEqual(await store.get(sid, "session"), data);
  }),

  rule("set: odd data is read back as it was", async (store) => {
    for (const [what, data] of Object.entries(ODD_DATA)) {
      const sid = await set(store, data);
      assert.equal(
        JSON.stringify(await store.get(sid, MINUTE)),
        JSON.stringify(data),
        what,
      );
    }
  }),

  rule("set: a megabyte is read back as it was", async (store) => {
    const data = { text: megabyte() };
    const sid = await set(store, data);
    const found = await store.get(sid, MINUTE);
    assert(found?.text === data.text);
  }),

  rule("set: takes the place of the whole session", async (store) => {
    const sid = await set(store, { a: 1, b: { c: 1 } });
    await store.set(sid, { b: { d: 1 } }, MINUTE);
    assert.deepEqual(await store.get(sid, MINUTE), { b: { d: 1 } });
  }),

  rule("set: the caller's object is not what is stored", async (store) => {
    const data = { nested: { n: 1 } };
    const sid = await set(store, data);
    data.nested.n = 2;
    assert.deepEqual(await store.get(sid, MINUTE), { nested: { n: 1 } });
  }),

  rule("get: what it hands out is not what is stored", async (store) => {
    const sid = await set(store, { nested: { n: 1 } });
    const found = await store.get(sid, MINUTE) as { nested: { n: number } };
    found.nested.n = 2;
    assert.deepEqual(await store.get(sid, MINUTE), { nested: { n: 1 } });
  }),

  rule(
    "set: ids that differ in one character are two sessions",
    async (store) => {
      const sid = id();
      const others = [
        `${sid}a`,
        `${sid}A`,
        `${sid}-`,
        `${sid}_`,
        `a${sid}`,
        sid.slice(1),
      ];
      for (const other of others) await store.set(other, { other }, MINUTE);
      assert(await isGone(store, sid));
      for (const other of others) {
        assert.deepEqual(await store.get(other, MINUTE), { other });
      }
    },
  ),

  rule("set: many at once, each keeps its own", async (store) => {
    const sids = Array.from({ length: 100 }, () => id());
    await Promise.all(sids.map((sid, n) => store.set(sid, { n }, MINUTE)));
    const found = await Promise.all(sids.map((sid) => store.get(sid, MINUTE)));
    assert.deepEqual(found, sids.map((_, n) => ({ n })));
  }),

  rule("set: of many at once for one id, one is kept whole", async (store) => {
    const sid = id();
    await Promise.all(
      Array.from(
        { length: 20 },
        (_, n) =>
          store.set(sid, { n, again: n, fill: "x".repeat(n * 500) }, MINUTE),
      ),
    );
    const found = await store.get(sid, MINUTE) as Record<string, unknown>;
    assert.equal(found.n, found.again);
    assert.equal((found.fill as string).length, found.n as number * 500);
  }),

  rule("set: a session lives for its maxAge", async (store, context) => {
    const ttl = ttlOf(context);
    const sid = await set(store, { n: 1 }, 2 * ttl);
    await pause(ttl / 2);
    assert(!await isGone(store, sid), "it is gone too early");
  }),

  rule("set: a session is gone after its maxAge", async (store, context) => {
    const ttl = ttlOf(context);
    const sid = await set(store, { n: 1 }, ttl);
    assert(
      await eventually(() => isGone(store, sid), ttl + LATE),
      "it is still there",
    );
  }),

  rule("set: writing again prolongs the life", async (store, context) => {
    const ttl = ttlOf(context);
    const sid = await set(store, { n: 1 }, ttl);
    await store.set(sid, { n: 2 }, MINUTE);
    await pause(2 * ttl);
    assert.deepEqual(await store.get(sid, MINUTE), { n: 2 });
  }),

  rule(
    'set: with maxAge "session" it outlives the moment',
    async (store, context) => {
      const sid = await set(store, { _session: true }, "session");
      await pause(ttlOf(context));
      assert(!await isGone(store, sid));
    },
  ),

  rule(
    "set: a thousand sessions go when their time is over",
    async (store, context) => {
      const ttl = 2 * ttlOf(context);
      const sids = Array.from({ length: 1_000 }, () => id());
      const keep = await set(store, { keep: true });
      await Promise.all(sids.map((sid) => store.set(sid, { sid }, ttl)));
      await eventually(() => isGone(store, sids.at(-1)!), ttl + LATE);
      const left = await Promise.all(sids.map((sid) => store.get(sid, MINUTE)));
      assert.equal(left.filter((session) => session != null).length, 0);
      assert(!await isGone(store, keep), "one that should live went with them");
    },
  ),

  rule("destroy: the session is gone", async (store) => {
    const sid = await set(store, { n: 1 });
    const other = await set(store, { n: 2 });
    await store.destroy(sid);
    assert(await isGone(store, sid));
    assert(!await isGone(store, other), "another session went with it");
  }),

  rule("destroy: an id without a session is no error", async (store) => {
    const sid = id();
    await store.destroy(sid);
    await store.destroy(sid);
    assert(await isGone(store, sid));
  }),
];

const TOUCH_RULES: readonly StoreRule[] = [
  rule("touch: brings nothing back", async (store) => {
    const sid = await set(store, { n: 1 });
    await store.destroy(sid);
    // a store may or may not reject
    await Promise.resolve(store.touch!(sid, { n: 1 }, MINUTE)).catch(() => {});
    assert(await isGone(store, sid));
  }),

  rule("touch: does not change the data", async (store) => {
    const sid = await set(store, { n: 1 });
    await store.touch!(sid, { n: 2 }, MINUTE);
    assert.deepEqual(await store.get(sid, MINUTE), { n: 1 });
  }),
];

const ON_RULES: readonly StoreRule[] = [
  rule('on: "destroy" tells the store and the id', async (store) => {
    const removals: unknown[][] = [];
    const listener = (...args: [unknown, string]) => {
      removals.push(args);
    };
    store.on!("destroy", listener);
    const sid = await set(store, { n: 1 });
    await store.destroy(sid);
    assert(
      await eventually(
        () => removals.some((args) => args[0] === store && args[1] === sid),
        500,
      ),
      `it was told of ${removals.length} removals, none of them this`,
    );
    store.off?.("destroy", listener);
  }),
];
