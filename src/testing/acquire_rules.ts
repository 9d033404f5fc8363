/**
 * The rules of the shared tier on taking a lease and waiting for one.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { SharedStore } from "../api/store.ts";
import { granted, hold, LONG, REACHED, SHORT, SOON, status } from "./lease.ts";
import {
  background,
  begin,
  counted,
  id,
  pause,
  record,
  rule as anyRule,
  type StoreRule,
  within,
} from "./kit.ts";

const rule = (name: string, body: (store: SharedStore) => Promise<void>) =>
  anyRule("shared", name, body);

/** The rules on leases and their order. */
export const ACQUIRE_RULES: readonly StoreRule[] = [
  rule("acquire: an id without a session is missing at once", async (store) => {
    assert.deepEqual(
      await within(SOON, store.acquire(id(), id(), LONG, LONG)),
      { status: "missing", waited: false },
    );
    const { sid } = await begin(store);
    await store.destroy(sid);
    assert.equal(
      status(await within(SOON, store.acquire(sid, id(), LONG, LONG))),
      "missing",
    );
  }),

  rule(
    "acquire: grants the session as it is, commit writes it",
    async (store) => {
      const { sid, version } = await begin(
        store,
        record({ data: '{"n":1}', user: "ada" }),
      );
      const { token, record: stored } = await hold(store, sid);
      assert.deepEqual(stored, await store.read(sid));
      assert.equal(stored.version, version);
      const committed = await store.commit(sid, token, counted(stored));
      assert.equal(committed.status, "done");
      const after = await store.read(sid);
      assert.equal(after?.data, '{"n":2}');
      assert.equal((committed as { version: unknown }).version, after?.version);
      assert.notEqual(after?.version, version);
    },
  ),

  rule(
    "commit: without a record it releases, and changes nothing",
    async (store) => {
      const { sid, version } = await begin(store);
      const { token } = await hold(store, sid);
      assert.deepEqual(await store.commit(sid, token, undefined), {
        status: "done",
        version,
      });
      await hold(store, sid);
    },
  ),

  rule(
    "acquire: waits until the holder commits, and sees its write",
    async (store) => {
      const { sid } = await begin(store, record({ data: '{"n":1}' }));
      const first = await hold(store, sid);
      let served = false;
      const second = background(
        store.acquire(sid, id(), LONG, LONG).finally(() => served = true),
      );
      await pause(REACHED);
      assert(!served, "two hold the session");
      await store.commit(sid, first.token, counted(first.record));
      assert.equal(granted(await within(SOON, second)).data, '{"n":2}');
    },
  ),

  rule("acquire: first come, first served", async (store) => {
    const { sid } = await begin(store);
    const first = await hold(store, sid);
    const order: number[] = [];
    const all: Promise<void>[] = [];
    for (let n = 0; n < 5; n++) {
      const token = id();
      const served = store.acquire(sid, token, LONG, LONG).then(
        async (acquired) => {
          granted(acquired);
          order.push(n);
          await store.commit(sid, token, undefined);
        },
      );
      all.push(background(served));
      await pause(20);
    }
    await store.commit(sid, first.token, undefined);
    await within(SOON, Promise.all(all));
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
  }),

  rule("acquire: others hold other sessions", async (store) => {
    const made = await Promise.all(
      Array.from({ length: 5 }, () => begin(store)),
    );
    await within(SOON, Promise.all(made.map(({ sid }) => hold(store, sid))));
  }),

  rule(
    "acquire: gives up after waitMs, and leaves nothing behind",
    async (store) => {
      const { sid } = await begin(store);
      const first = await hold(store, sid);
      const from = Date.now();
      assert.equal(
        status(await within(SOON, store.acquire(sid, id(), LONG, SHORT))),
        "timeout",
      );
      assert(Date.now() - from >= SHORT - 20, "it gave up too early");
      await store.commit(sid, first.token, undefined);
      const next = await within(SOON, store.acquire(sid, id(), LONG, LONG));
      assert.equal(next.status, "granted", "who gave up holds the session");
    },
  ),

  rule(
    "acquire: without a wait it says at once that others hold it",
    async (store) => {
      const { sid } = await begin(store);
      const { token } = await hold(store, sid);
      assert.equal(
        status(await within(SOON, store.acquire(sid, id(), LONG, 0))),
        "timeout",
      );
      await store.commit(sid, token, undefined);
      assert.equal(
        status(await store.acquire(sid, id(), LONG, SOON)),
        "granted",
      );
    },
  ),

  rule(
    "acquire: a dead holder blocks for no longer than its hold",
    async (store) => {
      const { sid } = await begin(store);
      const from = Date.now();
      await hold(store, sid, SHORT);
      granted(await within(SHORT + SOON, store.acquire(sid, id(), LONG, LONG)));
      assert(Date.now() - from >= SHORT - 20, "the hold was cut short");
    },
  ),
];
