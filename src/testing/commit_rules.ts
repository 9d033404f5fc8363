/**
 * The rules of the shared tier on commits, and on queries of many sessions.
 *
 * @module
 */
import assert from "node:assert/strict";
import { hashId } from "../base/ids.ts";
import type { SharedStore } from "../api/store.ts";
import { add, hold, LONG, REACHED, SHORT, SOON, status } from "./lease.ts";
import {
  background,
  begin,
  count,
  counted,
  ending,
  eventually,
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

/** The rules on commits, whatever happened during the lease. */
export const COMMIT_RULES: readonly StoreRule[] = [
  rule(
    "commit: an overdue hold counts while nobody else was given the session",
    async (store) => {
      const { sid } = await begin(store);
      const late = await hold(store, sid, SHORT);
      await pause(SHORT + 100);
      assert.equal(
        status(await store.commit(sid, late.token, counted(late.record))),
        "done",
      );
      assert.equal((await store.read(sid))?.data, '{"n":1}');
    },
  ),

  rule(
    "commit: an overdue hold is lost when another was given the session",
    async (store) => {
      const { sid } = await begin(store);
      const late = await hold(store, sid, SHORT);
      const other = await hold(store, sid);
      assert.deepEqual(
        await store.commit(sid, late.token, record({ data: '{"late":1}' })),
        { status: "lost" },
      );
      assert.equal((await store.read(sid))?.data, "{}");
      assert.equal(
        status(
          await store.commit(sid, other.token, record({ data: '{"other":1}' })),
        ),
        "done",
      );
      assert.deepEqual(
        await store.commit(sid, late.token, record({ data: '{"late":1}' })),
        { status: "lost" },
      );
      assert.equal((await store.read(sid))?.data, '{"other":1}');
    },
  ),

  rule("commit: an overdue hold is lost when another wrote", async (store) => {
    const { sid, version } = await begin(store);
    const late = await hold(store, sid, SHORT);
    await pause(SHORT + 100);
    const wrote = await store.write(
      sid,
      record({ data: '{"wrote":1}' }),
      version,
    );
    assert.notEqual(wrote, undefined, "the dead hold a session for ever");
    assert.deepEqual(
      await store.commit(sid, late.token, record({ data: '{"late":1}' })),
      { status: "lost" },
    );
    assert.equal((await store.read(sid))?.data, '{"wrote":1}');
  }),

  rule("commit: a token that holds nothing writes nothing", async (store) => {
    const { sid } = await begin(store);
    const { token } = await hold(store, sid);
    const strange = record({ data: '{"strange":1}' });
    assert.deepEqual(await store.commit(sid, id(), strange), {
      status: "lost",
    });
    assert.equal((await store.read(sid))?.data, "{}");
    assert.equal(status(await store.acquire(sid, id(), LONG, 0)), "timeout");
    assert.equal(status(await store.commit(sid, token, undefined)), "done");
    assert.deepEqual(await store.commit(sid, token, strange), {
      status: "lost",
    });
    assert.equal((await store.read(sid))?.data, "{}");
  }),

  rule("write: is refused while somebody holds the session", async (store) => {
    const { sid, version } = await begin(store);
    const { token } = await hold(store, sid);
    assert.equal(
      await store.write(sid, record({ data: '{"n":1}' }), version),
      undefined,
    );
    assert.equal((await store.read(sid))?.data, "{}");
    await store.commit(sid, token, undefined);
    assert.notEqual(
      await store.write(sid, record({ data: '{"n":1}' }), version),
      undefined,
    );
  }),

  rule(
    "extend: works on a session that is held, whose commit stands",
    async (store) => {
      const of = record();
      const { sid, version } = await begin(store, of);
      const { token } = await hold(store, sid);
      assert.equal(await store.extend(sid, of.expires + 60_000), true);
      const stored = await store.read(sid);
      assert.deepEqual([stored?.expires, stored?.version], [
        of.expires + 60_000,
        version,
      ]);
      assert.equal(
        status(await store.commit(sid, token, record({ data: '{"n":1}' }))),
        "done",
      );
    },
  ),

  rule(
    "destroy: ends a session that is held, at once and for good",
    async (store) => {
      const { sid } = await begin(store);
      const { token, record: stored } = await hold(store, sid);
      assert.equal(
        await within(SOON, Promise.resolve(store.destroy(sid))),
        true,
      );
      assert.equal(await store.read(sid), undefined);
      assert.deepEqual(await store.commit(sid, token, counted(stored)), {
        status: "missing",
      });
      assert.equal(await store.read(sid), undefined);
    },
  ),

  rule(
    "destroy: those who wait learn that the session is missing",
    async (store) => {
      for (const note of [undefined, "because"]) {
        const { sid } = await begin(store);
        await hold(store, sid);
        const waiting = [1, 2].map(() =>
          background(store.acquire(sid, id(), LONG, LONG))
        );
        await pause(REACHED);
        await store.destroy(sid, note);
        assert.deepEqual(
          await within(SOON, Promise.all(waiting)),
          waiting.map(() => ({ status: "missing", waited: true })),
        );
      }
    },
  ),

  rule(
    "commit: a hold on an earlier session of the id writes nothing",
    async (store) => {
      const { sid } = await begin(store);
      const { token } = await hold(store, sid);
      await store.destroy(sid);
      assert.notEqual(
        await store.write(sid, record({ data: '{"next":1}' }), null),
        undefined,
      );
      const next = await hold(store, sid);
      assert.notEqual(
        status(await store.commit(sid, token, record({ data: '{"old":1}' }))),
        "done",
      );
      assert.equal((await store.read(sid))?.data, '{"next":1}');
      assert.equal(
        status(await store.commit(sid, next.token, undefined)),
        "done",
      );
    },
  ),

  rule(
    "commit: a session that expired during the hold is missing",
    async (store) => {
      const { sid } = await begin(store, ending(SHORT));
      const { token } = await hold(store, sid);
      assert(
        await eventually(
          async () => !isAlive(await store.read(sid)),
          SHORT + SOON,
        ),
      );
      assert.deepEqual(await store.commit(sid, token, record()), {
        status: "missing",
      });
      assert(!isAlive(await store.read(sid)));
    },
  ),

  rule("commit: no update is lost among many holders", async (store) => {
    const { sid } = await begin(store, record({ data: '{"n":0}' }));
    await within(
      10 * LONG,
      Promise.all(Array.from({ length: 10 }, () => add(store, sid, 10))),
    );
    assert.equal(count((await store.read(sid))!), 100);
  }),

  rule("byHash: the live session whose id has the hash", async (store) => {
    const { sid } = await begin(store);
    assert.equal(await store.byHash(hashId(sid)), sid);
    assert.equal(await store.byHash(hashId(id())), undefined);
    await store.destroy(sid);
    assert.equal(await store.byHash(hashId(sid)), undefined);
  }),

  rule(
    "versions: of many sessions, in order, undefined for the gone",
    async (store) => {
      const [a, b, c] = [
        await begin(store),
        await begin(store),
        await begin(store),
      ];
      await store.destroy(b.sid);
      assert.deepEqual(
        await store.versions([c.sid, b.sid, id(), a.sid, c.sid]),
        [c.version, undefined, undefined, a.version, c.version],
      );
      assert.deepEqual(await store.versions([]), []);
      const many = await Promise.all(
        Array.from({ length: 1_000 }, () => begin(store)),
      );
      assert.deepEqual(
        await store.versions(many.map(({ sid }) => sid)),
        many.map(({ version }) => version),
      );
    },
  ),
];
