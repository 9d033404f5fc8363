/**
 * The rules of the atomic tier on beginning a session for a client.
 *
 * @module
 */
import assert from "node:assert/strict";
import type {
  AtomicStore,
  BeginOptions,
  BeginResult,
  SessionRecord,
} from "../api/store.ts";
import {
  begin,
  ending,
  eventually,
  id,
  isAlive,
  record,
  rule as anyRule,
  type StoreRule,
} from "./kit.ts";

const rule = (name: string, body: (store: AtomicStore) => Promise<void>) =>
  anyRule("atomic", name, body);

/** Begins a session that must not be refused. */
async function begun(
  store: AtomicStore,
  of: SessionRecord,
  options?: BeginOptions,
): Promise<{ sid: string } & Extract<BeginResult, { status: "begun" }>> {
  const sid = id();
  const result = await store.begin(sid, of, options);
  assert.equal(result.status, "begun");
  return { sid, ...result as Extract<BeginResult, { status: "begun" }> };
}

/** Begins a session that must be refused with this result. */
async function refused(
  store: AtomicStore,
  of: SessionRecord,
  options: BeginOptions | undefined,
  expected: BeginResult,
): Promise<void> {
  const sid = id();
  const { clientId, user } = of;
  const client = await store.byClient(clientId!);
  assert.deepEqual(await store.begin(sid, of, options), expected);
  assert.equal(await store.read(sid), undefined, "it is written");
  assert.equal(await store.byClient(clientId!), client, "its client is");
  if (user !== undefined) {
    assert(!(await store.byUser(user)).includes(sid), "its user is");
  }
}

/** The rules on begins. */
export const BEGIN_RULES: readonly StoreRule[] = [
  rule(
    "begin: a new session, and the one that was its client's until then",
    async (store) => {
      const of = record({ clientId: id(), user: id(), data: '{"n":1}' });
      const one = await begun(store, of);
      assert.equal(one.before, undefined);
      const { sid, version } = one;
      assert.deepEqual(await store.read(sid), { ...of, version });
      const two = await begun(store, of);
      assert.equal(two.before, sid);
      assert.equal(await store.byClient(of.clientId!), two.sid);
      assert.deepEqual(
        [...await store.byUser(of.user!)].toSorted(),
        [sid, two.sid].toSorted(),
      );
      assert.equal((await begun(store, record())).before, undefined);
    },
  ),

  rule("begin: refused where there is a session", async (store) => {
    const { sid } = await begin(store, record({ data: '{"n":1}' }));
    const clientId = id();
    const refusal = await store.begin(sid, record({ clientId }));
    assert.deepEqual(refusal, { status: "taken" });
    assert.equal((await store.read(sid))?.data, '{"n":1}');
    assert.equal(await store.byClient(clientId), undefined);
  }),

  rule(
    "begin: of many for one client, each but the last is told of once",
    async (store) => {
      const of = record({ clientId: id() });
      const all = await Promise.all(
        Array.from({ length: 20 }, () => begun(store, of)),
      );
      const replaced = all.map(({ before }) => before);
      const last = await store.byClient(of.clientId!);
      assert.deepEqual(
        replaced.filter((sid) => sid !== undefined).sort(),
        all.map(({ sid }) => sid).filter((sid) => sid !== last).sort(),
      );
    },
  ),

  rule(
    "begin: with replaces, a client with another live session is occupied",
    async (store) => {
      const of = record({ clientId: id(), user: id() });
      const { sid } = await begun(store, of, { replaces: [] });
      const occupied = { status: "occupied", before: sid } as const;
      await refused(store, of, { replaces: [] }, occupied);
      await refused(store, of, { replaces: [id(), id()] }, occupied);
      const next = await begun(store, of, { replaces: [id(), sid] });
      assert.equal(next.before, sid);
    },
  ),

  rule(
    "begin: with replaces, a client is free when its session has ended",
    async (store) => {
      const none = { replaces: [] };
      const of = record({ clientId: id() });
      const { sid } = await begun(store, of);
      await store.destroy(sid);
      await begun(store, of, none);
      const brief = ending(200, { clientId: id() });
      const expired = await begun(store, brief);
      const isEnded = async () => !isAlive(await store.read(expired.sid));
      assert(await eventually(isEnded, 3_000), "the session does not end");
      await begun(store, record({ clientId: brief.clientId }), none);
    },
  ),

  rule(
    "begin: with replaces, a client is free when its session is another's",
    async (store) => {
      const of = record({ clientId: id() });
      const { sid, version } = await begun(store, of);
      await store.write(sid, record({ clientId: id() }), version);
      await begun(store, of, { replaces: [] });
    },
  ),

  rule(
    "begin: of many with replaces for one client, one is begun",
    async (store) => {
      for (let round = 0; round < 3; round++) {
        const of = record({ clientId: id() });
        const sids = Array.from({ length: 20 }, () => id());
        const all = await Promise.all(
          sids.map((sid) => store.begin(sid, of, { replaces: [] })),
        );
        const winner = all.findIndex(({ status }) => status === "begun");
        const before = sids[winner];
        assert.deepEqual(
          all.filter(({ status }) => status !== "begun"),
          Array(19).fill({ status: "occupied", before }),
        );
        assert.equal(await store.byClient(of.clientId!), before);
        const stored = await Promise.all(sids.map((sid) => store.read(sid)));
        assert.equal(stored.filter(isAlive).length, 1);
      }
    },
  ),

  rule(
    "begin: of one request that arrived before the client's, superseded",
    async (store) => {
      const arrived = Date.now() - 1_000;
      const of = record({ clientId: id(), user: id(), arrived });
      const earlier = { ...of, arrived: arrived - 0.25 };
      const superseded = { status: "superseded" } as const;
      const { sid } = await begun(store, of);
      await refused(store, earlier, undefined, superseded);
      await refused(store, earlier, { replaces: [sid] }, superseded);
      await refused(store, earlier, { replaces: [] }, superseded);
      await store.destroy(sid);
      await begun(store, earlier);
    },
  ),

  rule(
    "begin: an arrival that is the same, later or unknown is not superseded",
    async (store) => {
      const arrived = Date.now() - 1_000;
      const of = record({ clientId: id(), arrived });
      for (const next of [arrived, arrived, arrived + 0.25, undefined, 1]) {
        await begun(store, { ...of, arrived: next });
      }
    },
  ),

  rule(
    "begin: of many arrivals at once for one client, the last one stays",
    async (store) => {
      const now = Date.now();
      const clientId = id();
      const sids = Array.from({ length: 20 }, () => id());
      const all = await Promise.all(sids.map((sid, n) => {
        const arrived = now - ((n * 7) % 20) / 4;
        return store.begin(sid, record({ clientId, arrived }));
      }));
      assert.equal(all[0]!.status, "begun");
      assert.equal(await store.byClient(clientId), sids[0]);
      const ended = all.flatMap((each) =>
        each.status === "begun" && each.before ? [each.before] : []
      );
      const left = sids.filter((sid, n) =>
        all[n]!.status === "begun" && !ended.includes(sid)
      );
      assert.deepEqual(left, [sids[0]]);
    },
  ),
];
