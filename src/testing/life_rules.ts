/**
 * The rules of the atomic tier on the end of sessions, and on finding them.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  type AtomicStore,
  MOVED_FOR,
  type SessionRecord,
  type StoredRecord,
} from "../api/store.ts";
import {
  ahead,
  begin,
  ending,
  eventually,
  id,
  isAlive,
  pause,
  record,
  rule as anyRule,
  type StoreRule,
  written,
} from "./kit.ts";

const rule = (name: string, body: (store: AtomicStore) => Promise<void>) =>
  anyRule("atomic", name, body);

/** A session life that a test can wait for, in ms. */
const SHORT = 300;

async function ended(store: AtomicStore, sid: string): Promise<void> {
  assert(
    await eventually(
      async () => !isAlive(await store.read(sid)),
      SHORT + 2_000,
    ),
    "the session does not end",
  );
}

/** The rules on extending, ending and finding sessions. */
export const LIFE_RULES: readonly StoreRule[] = [
  rule(
    "destroy: says whether there was a session, which is gone",
    async (store) => {
      const { sid, version } = await begin(store);
      assert.equal(await store.destroy(sid), true);
      assert.equal(await store.read(sid), undefined);
      assert.equal(await store.destroy(sid), false);
      assert.equal(await store.destroy(id()), false);
      assert.equal(await store.write(sid, record(), version), undefined);
      assert.equal(await store.extend(sid, Date.now() + 60_000), false);
      assert.equal(await store.read(sid), undefined);
    },
  ),

  rule("destroy: of many at once, one ends the session", async (store) => {
    const { sid } = await begin(store);
    const ends = await Promise.all(
      Array.from({ length: 10 }, () => store.destroy(sid)),
    );
    assert.equal(ends.filter(Boolean).length, 1);
  }),

  rule(
    "destroy: no write that was under way brings the session back",
    async (store) => {
      for (let i = 0; i < 10; i++) {
        const { sid, version } = await begin(store);
        await Promise.all([
          store.extend(sid, Date.now() + 90_000),
          store.write(sid, record({ data: '{"n":1}' }), version),
          store.destroy(sid),
          store.write(sid, record({ data: '{"n":2}' }), version),
          store.extend(sid, Date.now() + 99_000),
        ]);
        assert.equal(await store.read(sid), undefined);
      }
    },
  ),

  rule("destroy: with a note, the note is kept on the id", async (store) => {
    const { sid } = await begin(store);
    assert.equal(await store.former(sid), undefined);
    const from = Date.now();
    assert.equal(await store.destroy(sid, "because"), true);
    assert.equal(await store.read(sid), undefined);
    const former = await store.former(sid);
    assert.deepEqual([former?.to, former?.note], [undefined, "because"]);
    assert(former!.at >= from && former!.at <= Date.now(), "at is no time");
  }),

  rule("destroy: without a note, nothing is kept", async (store) => {
    const { sid } = await begin(store);
    await store.destroy(sid);
    assert.equal(await store.former(sid), undefined);
  }),

  rule(
    "destroy: nothing is kept where there was no session",
    async (store) => {
      const sid = id();
      assert.equal(await store.destroy(sid, "none"), false);
      assert.equal(await store.former(sid), undefined);
      const ended = await begin(store);
      await store.destroy(ended.sid, "first");
      await store.destroy(ended.sid, "second");
      assert.equal((await store.former(ended.sid))?.note, "first");
    },
  ),

  rule("former: a note is gone after MOVED_FOR", async (store) => {
    const { sid } = await begin(store);
    await store.destroy(sid, "old");
    const former = () => store.former(sid);
    assert.equal((await ahead(MOVED_FOR - 5_000, former))?.note, "old");
    assert.equal(await ahead(MOVED_FOR + 1_000, former), undefined);
    assert.equal((await store.former(sid))?.note, "old");
  }),

  rule("extend: moves the end and nothing else", async (store) => {
    const of = record({ data: '{"n":1}', user: id(), clientId: id() });
    const { sid, version } = await begin(store, of);
    const expires = of.expires + 60_000;
    assert.equal(await store.extend(sid, expires), true);
    const stored = await store.read(sid);
    assert.deepEqual(written(stored), { ...of, expires });
    assert.equal(stored?.version, version);
    assert.notEqual(await store.write(sid, record(), version), undefined);
  }),

  rule("extend: an earlier end is ignored", async (store) => {
    const of = record();
    const { sid } = await begin(store, of);
    assert.equal(await store.extend(sid, of.expires - 30_000), true);
    assert.equal((await store.read(sid))?.expires, of.expires);
  }),

  rule("extend: absoluteEnd is not passed", async (store) => {
    const of = record({ absoluteEnd: Date.now() + 70_000 });
    const { sid } = await begin(store, of);
    assert.equal(await store.extend(sid, Date.now() + 90_000), true);
    assert.equal((await store.read(sid))?.expires, of.absoluteEnd);
  }),

  rule("extend: sets lastUsed, and ignores an earlier one", async (store) => {
    const of = record({ data: '{"n":1}' });
    const { sid, version } = await begin(store, of);
    const lastUsed = async () => (await store.read(sid))?.lastUsed;
    const now = Date.now();
    assert.equal(await store.extend(sid, of.expires + 1_000), true);
    assert.equal(await lastUsed(), undefined);
    assert.equal(await store.extend(sid, of.expires + 2_000, now), true);
    assert.equal(await lastUsed(), now);
    assert.equal(await store.extend(sid, 0, now + 5), true);
    assert.equal(await store.extend(sid, 0, now + 3), true);
    const stored = await store.read(sid);
    assert.deepEqual(written(stored), {
      ...of,
      expires: of.expires + 2_000,
      lastUsed: now + 5,
    });
    assert.equal(stored?.version, version);
    await store.destroy(sid);
    assert.equal(await store.extend(sid, 0, now + 9), false);
  }),

  rule("extend: a session outlives the end that it had", async (store) => {
    const { sid } = await begin(store, ending(SHORT));
    const other = await begin(store, ending(SHORT));
    assert.equal(await store.extend(sid, Date.now() + 60_000), true);
    await ended(store, other.sid);
    assert(isAlive(await store.read(sid)));
  }),

  rule(
    "expiry: a session is alive until its end, and not after",
    async (store) => {
      const { sid, version } = await begin(store, ending(SHORT));
      assert(await store.read(sid), "it ended too early");
      await ended(store, sid);
      assert.equal(
        await store.write(sid, record(), version),
        undefined,
        "it is written to",
      );
      assert.equal(
        await store.extend(sid, Date.now() + 60_000),
        false,
        "it is extended",
      );
      assert.equal(await store.destroy(sid), false, "it is destroyed");
      assert(!isAlive(await store.read(sid)), "it is back");
    },
  ),

  rule("expiry: the id is free for another session", async (store) => {
    const { sid, version } = await begin(
      store,
      ending(SHORT, { user: id(), clientId: id() }),
    );
    await ended(store, sid);
    const next = record({ data: '{"next":1}' });
    const made = await store.write(sid, next, null);
    assert(made !== undefined && made !== version);
    assert.deepEqual(written(await store.read(sid)), next);
  }),

  rule("expiry: a thousand sessions go, one stays", async (store) => {
    const user = id();
    const { sid: keep } = await begin(store, record({ user }));
    const ends = Date.now() + 1_000;
    const made = await Promise.all(
      Array.from(
        { length: 1_000 },
        () => begin(store, record({ expires: ends, user })),
      ),
    );
    await pause(Math.max(ends - Date.now(), 0) + 50);
    const left = await Promise.all(made.map(({ sid }) => store.read(sid)));
    assert.equal(left.filter(isAlive).length, 0);
    assert(isAlive(await store.read(keep)));
    assert((await store.byUser(user)).includes(keep));
  }),

  rule(
    "byClient: the session that was last bound to the client",
    async (store) => {
      const clientId = id();
      assert.equal(await store.byClient(clientId), undefined);
      const of: SessionRecord = record({ clientId });
      const first = await begin(store, of);
      assert.equal(await store.byClient(clientId), first.sid);
      const second = await begin(store, of);
      assert.equal(await store.byClient(clientId), second.sid);
      const other = id();
      const third = await begin(store);
      await store.write(third.sid, record({ clientId: other }), third.version);
      assert.equal(await store.byClient(other), third.sid);
      assert.equal(await store.byClient(clientId), second.sid);
    },
  ),

  rule("byUser: every session of the user", async (store) => {
    const user = id();
    assert.deepEqual([...await store.byUser(user)], []);
    const made = [];
    for (let i = 0; i < 5; i++) made.push(await begin(store, record({ user })));
    const late = await begin(store);
    await store.write(late.sid, record({ user }), late.version);
    await begin(store, record({ user: id() }));
    const sids = [...made, late].map(({ sid }) => sid);
    assert.deepEqual([...await store.byUser(user)].toSorted(), sids.toSorted());
  }),

  rule(
    "byUser: a session that has another user leads back to that one",
    async (store) => {
      const [before, after] = [id(), id()];
      const { sid, version } = await begin(store, record({ user: before }));
      await store.write(sid, record({ user: after }), version);
      assert.deepEqual([...await store.byUser(after)], [sid]);
      const hints = await Promise.all(
        (await store.byUser(before)).map((hint) => store.read(hint)),
      );
      assert(
        !hints.some((hint: StoredRecord | undefined) => hint?.user === before),
      );
    },
  ),
];
