/**
 * The rules of the shared tier on two stores with the same sessions, as in two
 * processes.
 *
 * @module
 */
import assert from "node:assert/strict";
import { hashId } from "../base/ids.ts";
import { add, granted, hold, LONG, REACHED, SHORT, SOON } from "./lease.ts";
import {
  background,
  begin,
  count,
  counted,
  id,
  pause,
  peerRule,
  record,
  type StoreRule,
  within,
} from "./kit.ts";

/** The rules on two stores with the same sessions. */
export const PEER_RULES: readonly StoreRule[] = [
  peerRule("peer: each sees at once what the other did", async (one, two) => {
    const clientId = id();
    const of = record({ data: '{"n":1}', clientId, user: clientId });
    const { sid, version } = await begin(one, of);
    assert.deepEqual(await two.read(sid), { ...of, version });
    assert.equal(await two.byClient(clientId), sid);
    assert.deepEqual(await two.byUser(clientId), [sid]);
    assert.equal(await two.byHash(hashId(sid)), sid);
    const second = await two.write(sid, of, version);
    assert.notEqual(second, undefined);
    assert.equal(await one.write(sid, of, version), undefined);
    assert.deepEqual(await one.versions([sid]), [second]);
    const to = id();
    const moved = await two.move(sid, to, of, { expected: second! }, "note");
    assert.equal(moved.status, "done");
    assert.equal(await one.read(sid), undefined);
    assert.equal((await one.read(to))?.data, of.data);
    assert.equal((await one.former(sid))?.to, to);
    assert.equal(await one.byClient(clientId), to);
    assert.equal(await one.destroy(to, "note"), true);
    assert.equal((await two.former(to))?.note, "note");
  }),

  peerRule("peer: a lease of one keeps the other waiting", async (one, two) => {
    const { sid, version } = await begin(one);
    const { token, record: stored } = await hold(one, sid);
    assert.equal(await two.write(sid, record(), version), undefined);
    let served = false;
    const waiting = background(
      two.acquire(sid, id(), LONG, LONG).finally(() => served = true),
    );
    await pause(REACHED);
    assert(!served, "two hold the session");
    await one.commit(sid, token, counted(stored));
    assert.equal(count(granted(await within(SOON, waiting))), 1);
  }),

  peerRule("peer: first come, first served on both", async (one, two) => {
    const { sid } = await begin(one);
    // the first call of a store may have to connect
    await hold(two, (await begin(two)).sid);
    const first = await hold(one, sid);
    const order: number[] = [];
    const all: Promise<void>[] = [];
    for (let n = 0; n < 4; n++) {
      const store = n % 2 ? one : two;
      const token = id();
      const served = store.acquire(sid, token, LONG, LONG).then(
        async (acquired) => {
          granted(acquired);
          order.push(n);
          await store.commit(sid, token, undefined);
        },
      );
      all.push(background(served));
      await pause(REACHED);
    }
    await one.commit(sid, first.token, undefined);
    await within(2 * SOON, Promise.all(all));
    assert.deepEqual(order, [0, 1, 2, 3]);
  }),

  peerRule(
    "peer: who gave up on one does not hold up the other",
    async (one, two) => {
      const { sid } = await begin(one);
      const first = await hold(one, sid);
      const gaveUp = await two.acquire(sid, id(), LONG, SHORT);
      assert.equal(gaveUp.status, "timeout");
      await one.commit(sid, first.token, undefined);
      granted(await within(SOON, one.acquire(sid, id(), LONG, LONG)));
    },
  ),

  peerRule(
    "peer: a destroy on one tells those who wait on the other",
    async (one, two) => {
      const { sid } = await begin(one);
      const { token, record: stored } = await hold(two, sid);
      const waiting = background(two.acquire(sid, id(), LONG, LONG));
      await pause(REACHED);
      assert.equal(await one.destroy(sid), true);
      assert.deepEqual(await within(SOON, waiting), {
        status: "missing",
        waited: true,
      });
      assert.deepEqual(await two.commit(sid, token, counted(stored)), {
        status: "missing",
      });
      assert.equal(await one.read(sid), undefined);
    },
  ),

  peerRule(
    "peer: an overdue holder on one is lost to the other",
    async (one, two) => {
      const { sid } = await begin(one);
      const late = await hold(one, sid, SHORT);
      const other = await hold(two, sid);
      assert.deepEqual(
        await one.commit(sid, late.token, counted(late.record)),
        {
          status: "lost",
        },
      );
      assert.equal((await one.read(sid))?.data, "{}");
      const committed = await two.commit(sid, other.token, undefined);
      assert.equal(committed.status, "done");
    },
  ),

  peerRule(
    "peer: a move on one tells those who wait on the other",
    async (one, two) => {
      const { sid } = await begin(one);
      const { token } = await hold(one, sid);
      const waiting = background(two.acquire(sid, id(), LONG, LONG));
      await pause(REACHED);
      const to = id();
      const moved = await one.move(sid, to, record(), { token }, "note");
      assert.equal(moved.status, "done");
      assert.deepEqual(await within(SOON, waiting), {
        status: "missing",
        waited: true,
      });
      const next = background(two.acquire(to, id(), LONG, LONG));
      await pause(REACHED);
      await one.commit(to, token, record({ data: '{"n":1}' }));
      assert.equal(count(granted(await within(SOON, next))), 1);
    },
  ),

  peerRule(
    "peer: of moves on both, one moves the session",
    async (one, two) => {
      for (let round = 0; round < 10; round++) {
        const { sid, version } = await begin(one);
        const sids = Array.from({ length: 4 }, () => id());
        const moves = await Promise.all(sids.map((to, n) => {
          const store = n % 2 ? one : two;
          return store.move(sid, to, record(), { expected: version }, "note");
        }));
        const done = sids.filter((_, n) => moves[n]!.status === "done");
        assert.equal(done.length, 1);
        const alive = await Promise.all(sids.map((to) => one.read(to)));
        assert.deepEqual(sids.filter((_, n) => alive[n]), done);
        assert.equal(await two.read(sid), undefined);
      }
    },
  ),

  peerRule(
    "peer: of many begins for one client on both, one is begun",
    async (one, two) => {
      for (let round = 0; round < 5; round++) {
        const of = record({ clientId: id() });
        const begun = await Promise.all(
          Array.from({ length: 20 }, (_, n) => {
            const store = n % 2 ? one : two;
            return store.begin(id(), of, { replaces: [] });
          }),
        );
        assert.equal(
          begun.filter(({ status }) => status === "begun").length,
          1,
        );
      }
    },
  ),

  peerRule("peer: of many locks on both, one is taken", async (one, two) => {
    for (let round = 0; round < 10; round++) {
      const name = id();
      const tokens = Array.from({ length: 10 }, () => id());
      const taken = await Promise.all(tokens.map((token, n) => {
        const store = n % 2 ? one : two;
        return store.tryLock(name, token, LONG);
      }));
      assert.equal(taken.filter(Boolean).length, 1);
      await two.unlock(name, tokens[taken.indexOf(true)]!);
      assert.equal(await one.tryLock(name, id(), LONG), true);
    }
  }),

  peerRule("peer: no update is lost between the two", async (one, two) => {
    const { sid } = await begin(one, record({ data: '{"n":0}' }));
    const stores = [one, two, one, two];
    await within(
      10 * LONG,
      Promise.all(stores.map((store) => add(store, sid, 10))),
    );
    assert.equal(count((await one.read(sid))!), 40);
  }),
];
