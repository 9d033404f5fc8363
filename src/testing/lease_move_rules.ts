/**
 * The rules of the shared tier on moves of leased sessions, and on locks.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { SharedStore } from "../api/store.ts";
import { granted, hold, LONG, REACHED, SHORT, SOON, status } from "./lease.ts";
import { move, refused } from "./move_rules.ts";
import {
  background,
  begin,
  counted,
  id,
  isAlive,
  pause,
  record,
  rule as anyRule,
  type StoreRule,
  within,
} from "./kit.ts";

const rule = (name: string, body: (store: SharedStore) => Promise<void>) =>
  anyRule("shared", name, body);

/** The rules on moves under a lease, and on locks. */
export const LEASE_MOVE_RULES: readonly StoreRule[] = [
  rule(
    "move: with the token, the lease goes on under the new id",
    async (store) => {
      const { sid } = await begin(store);
      const { token } = await hold(store, sid);
      const { to, result } = await move(store, sid, { token });
      assert.equal(result.status, "done");
      const { version } = result as { version: string | number };
      assert.equal(status(await store.acquire(to, id(), LONG, 0)), "timeout");
      assert.equal(await store.write(to, record(), version), undefined);
      assert.deepEqual(await store.commit(sid, token, record()), {
        status: "missing",
      });
      const stored = (await store.read(to))!;
      const committed = await store.commit(to, token, counted(stored));
      assert.equal(committed.status, "done");
      assert.equal((await store.read(to))?.data, '{"n":1}');
      await hold(store, to);
    },
  ),

  rule("move: the lease lasts for what is left of it", async (store) => {
    const { sid } = await begin(store);
    const from = Date.now();
    const { token } = await hold(store, sid, SHORT);
    const { to } = await move(store, sid, { token });
    granted(await within(SHORT + SOON, store.acquire(to, id(), LONG, LONG)));
    const took = Date.now() - from;
    assert(took >= SHORT - 20, "the hold was cut short");
    assert.deepEqual(await store.commit(to, token, record()), {
      status: "lost",
    });
  }),

  rule("move: a token that holds nothing is lost", async (store) => {
    const { sid } = await begin(store);
    await refused(store, sid, { token: id() }, "lost");
    const late = await hold(store, sid, SHORT);
    const other = await hold(store, sid);
    await refused(store, sid, { token: late.token }, "lost");
    assert.equal(
      status(await store.commit(sid, other.token, undefined)),
      "done",
    );
    await refused(store, sid, { token: other.token }, "lost");
  }),

  rule("move: without the token, a lease is in the way", async (store) => {
    const { sid, version } = await begin(store);
    const { token } = await hold(store, sid);
    await refused(store, sid, { expected: version }, "lost");
    await store.commit(sid, token, undefined);
    const { to, result } = await move(store, sid, { expected: version });
    assert.equal(result.status, "done");
    await hold(store, to);
  }),

  rule("move: an overdue lease is not in the way", async (store) => {
    const { sid, version } = await begin(store);
    const late = await hold(store, sid, SHORT);
    await pause(SHORT + 100);
    const { to, result } = await move(store, sid, { expected: version });
    assert.equal(result.status, "done");
    const committed = await store.commit(sid, late.token, record());
    assert.deepEqual(committed, { status: "missing" });
    await hold(store, to);
  }),

  rule(
    "move: those who wait learn that the session is missing",
    async (store) => {
      const { sid } = await begin(store);
      const { token } = await hold(store, sid);
      const waiting = [1, 2].map(() =>
        background(store.acquire(sid, id(), LONG, LONG))
      );
      await pause(REACHED);
      assert.equal(status((await move(store, sid, { token })).result), "done");
      assert.deepEqual(
        await within(SOON, Promise.all(waiting)),
        waiting.map(() => ({ status: "missing", waited: true })),
      );
    },
  ),

  rule(
    "move: of a move and a commit, one finds the lease",
    async (store) => {
      for (let round = 0; round < 10; round++) {
        const { sid } = await begin(store);
        const { token } = await hold(store, sid);
        const calls = [
          () => move(store, sid, { token }),
          () => store.commit(sid, token, record({ data: '{"n":1}' })),
        ] as const;
        const [moving, committing] = round % 2
          ? [calls[0](), calls[1]()]
          : ((c) => [calls[0](), c] as const)(calls[1]());
        const [{ to, result }, committed] = [await moving, await committing];
        if (result.status === "done") {
          assert.equal(committed.status, "missing");
          assert.equal((await store.read(to))?.data, '{"moved":1}');
          assert.equal(await store.read(sid), undefined);
        } else {
          assert.equal(result.status, "lost");
          assert.equal(committed.status, "done");
          assert(!isAlive(await store.read(to)));
          assert.equal((await store.read(sid))?.data, '{"n":1}');
        }
      }
    },
  ),

  rule("tryLock: one holds a lock until unlock", async (store) => {
    const [name, one, two] = [id(), id(), id()];
    assert.equal(await store.tryLock(name, one, LONG), true);
    assert.equal(await store.tryLock(name, two, LONG), false);
    assert.equal(await store.tryLock(id(), two, LONG), true);
    await store.unlock(name, two);
    assert.equal(await store.tryLock(name, two, LONG), false);
    await store.unlock(name, one);
    assert.equal(await store.tryLock(name, two, LONG), true);
    await store.unlock(name, one);
    assert.equal(await store.tryLock(name, one, LONG), false);
  }),

  rule("tryLock: an overdue lock is free", async (store) => {
    const [name, one, two] = [id(), id(), id()];
    assert.equal(await store.tryLock(name, one, SHORT), true);
    const from = Date.now();
    while (!await store.tryLock(name, two, LONG)) {
      assert(Date.now() - from < SHORT + SOON, "it is held for ever");
      await pause(20);
    }
    assert(Date.now() - from >= SHORT - 50, "the hold was cut short");
    await store.unlock(name, one);
    assert.equal(await store.tryLock(name, one, LONG), false);
  }),

  rule("tryLock: a lock is no lease", async (store) => {
    const { sid, version } = await begin(store);
    assert.equal(await store.tryLock(sid, id(), LONG), true);
    assert.notEqual(await store.write(sid, record(), version), undefined);
    await hold(store, sid);
    await store.destroy(sid);
    assert.equal(await store.tryLock(sid, id(), LONG), false);
  }),
];
