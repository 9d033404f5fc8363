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
    assert.equal(await two.destroy(sid, { movedTo: "to" }), true);
    assert.equal(await one.read(sid), undefined);
    assert.equal(await one.movedTo(sid), "to");
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
