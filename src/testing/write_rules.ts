/**
 * The rules of the atomic tier on reading and writing: versions, and writes
 * that depend on them.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { AtomicStore } from "../api/store.ts";
import {
  begin,
  count,
  counted,
  id,
  megabyte,
  ODD_DATA,
  record,
  rule as anyRule,
  type StoreRule,
  written,
} from "./kit.ts";

const rule = (name: string, body: (store: AtomicStore) => Promise<void>) =>
  anyRule("atomic", name, body);

/** The rules on reading and writing. */
export const WRITE_RULES: readonly StoreRule[] = [
  rule("read: nothing for an id that was never written", async (store) => {
    for (const sid of [id(), "__proto__", "constructor"]) {
      assert.equal(await store.read(sid), undefined);
    }
  }),

  rule(
    "write: what was written is read back, with its version",
    async (store) => {
      const full = record({
        data: '{"user":"ada"}',
        absoluteEnd: Date.now() + 3_600_000,
        cookie: Date.now() + 50_000,
        clientId: id(),
        settled: true,
        user: id(),
        created: Date.now() - 60_000,
        authenticatedAt: Date.now() - 30_000,
        lastUsed: Date.now() - 10_000,
        arrived: Date.now() - 60_001.25,
        meta: '{"ip":"::1"}',
        handle: id(),
      });
      for (const each of [full, record(), record({ cookie: "session" })]) {
        const { sid, version } = await begin(store, each);
        const stored = await store.read(sid);
        assert.deepEqual(written(stored), each);
        assert.equal(stored?.version, version);
      }
    },
  ),

  rule(
    "write: the text of the data is kept to the character",
    async (store) => {
      for (const [what, data] of Object.entries(ODD_DATA)) {
        const text = JSON.stringify(data);
        const { sid } = await begin(store, record({ data: text }));
        assert.equal((await store.read(sid))?.data, text, what);
      }
    },
  ),

  rule("write: a megabyte is kept", async (store) => {
    const data = JSON.stringify({ text: megabyte() });
    const { sid, version } = await begin(store, record({ data }));
    assert((await store.read(sid))?.data === data);
    const again = await store.write(sid, record({ data: "{}" }), version);
    assert.notEqual(again, undefined);
  }),

  rule("write: odd ids, users and clients are told apart", async (store) => {
    const base = id();
    const odd = [
      "",
      "\0",
      "\0x",
      '"',
      "%",
      "*",
      ":",
      "{}",
      " ",
      "\u00e9",
      "e\u0301",
      "a",
      "A",
      "🎉",
    ].map((end) => base + end);
    for (const sid of odd) {
      const made = await store.write(
        sid,
        record({ user: sid, clientId: sid }),
        null,
      );
      assert.notEqual(
        made,
        undefined,
        `${JSON.stringify(sid)} is taken for another`,
      );
    }
    for (const sid of odd) {
      const stored = await store.read(sid);
      assert.deepEqual([stored?.user, stored?.clientId], [sid, sid]);
      assert.equal(await store.byClient(sid), sid);
      assert.deepEqual(await store.byUser(sid), [sid]);
    }
  }),

  rule("read: what it handed out stays as it was", async (store) => {
    const of = record({ data: '{"n":1}' });
    const { sid, version } = await begin(store, of);
    const before = await store.read(sid);
    await store.extend(sid, of.expires + 60_000);
    await store.write(sid, record({ data: '{"n":2}' }), version);
    await store.destroy(sid);
    assert.deepEqual(written(before), of);
  }),

  rule("write: the caller's object is not what is stored", async (store) => {
    const of = { ...record({ data: '{"n":1}' }) };
    const { sid } = await begin(store, of);
    of.data = '{"n":2}';
    of.expires = 0;
    assert.equal((await store.read(sid))?.data, '{"n":1}');
  }),

  rule("write: null is refused where there is a session", async (store) => {
    const { sid } = await begin(store, record({ data: '{"n":1}' }));
    assert.equal(await store.write(sid, record(), null), undefined);
    assert.equal((await store.read(sid))?.data, '{"n":1}');
  }),

  rule(
    "write: the expected version is replaced whole, by another version",
    async (store) => {
      const { sid, version } = await begin(
        store,
        record({ user: "a", clientId: id(), settled: true }),
      );
      const next = record({ data: '{"n":2}' });
      const second = await store.write(sid, next, version);
      assert.notEqual(second, undefined);
      assert.notEqual(second, version);
      const stored = await store.read(sid);
      assert.deepEqual(written(stored), next);
      assert.equal(stored?.version, second);
    },
  ),

  rule("write: an old version is refused", async (store) => {
    const { sid, version } = await begin(store);
    await store.write(sid, record({ data: '{"n":2}' }), version);
    assert.equal(
      await store.write(sid, record({ data: '{"n":3}' }), version),
      undefined,
    );
    assert.equal((await store.read(sid))?.data, '{"n":2}');
  }),

  rule("write: a write of the same data changes the version", async (store) => {
    const of = record();
    const { sid, version } = await begin(store, of);
    await store.write(sid, of, version);
    assert.equal(await store.write(sid, of, version), undefined);
  }),

  rule(
    "write: a version is refused where there is no session",
    async (store) => {
      const { version } = await begin(store);
      const sid = id();
      assert.equal(await store.write(sid, record(), version), undefined);
      assert.equal(await store.read(sid), undefined);
    },
  ),

  rule("write: of many who begin one session, one wins", async (store) => {
    const sid = id();
    const versions = await Promise.all(
      Array.from(
        { length: 20 },
        (_, n) => store.write(sid, record({ data: `{"n":${n}}` }), null),
      ),
    );
    const winner = versions.findIndex((version) => version !== undefined);
    assert.equal(versions.filter((version) => version !== undefined).length, 1);
    assert.equal((await store.read(sid))?.data, `{"n":${winner}}`);
  }),

  rule("write: of many who write on one version, one wins", async (store) => {
    const { sid, version } = await begin(store);
    const versions = await Promise.all(
      Array.from(
        { length: 20 },
        (_, n) => store.write(sid, record({ data: `{"n":${n}}` }), version),
      ),
    );
    const winner = versions.findIndex((version) => version !== undefined);
    assert.equal(versions.filter((version) => version !== undefined).length, 1);
    assert.equal((await store.read(sid))?.data, `{"n":${winner}}`);
  }),

  rule(
    "write: no update is lost among writers who try again",
    async (store) => {
      const { sid } = await begin(store, record({ data: '{"n":0}' }));
      const add = async () => {
        for (;;) {
          const stored = await store.read(sid);
          assert(stored);
          if (
            await store.write(sid, counted(stored), stored.version) !==
              undefined
          ) return;
        }
      };
      await Promise.all(Array.from({ length: 20 }, add));
      assert.equal(count((await store.read(sid))!), 20);
    },
  ),

  rule(
    "write: a version does not come back with another session of the id",
    async (store) => {
      const { sid, version } = await begin(store);
      const seen = new Set([version]);
      for (let i = 0; i < 20; i++) {
        await store.destroy(sid);
        const next = await store.write(sid, record(), null);
        assert(next !== undefined && !seen.has(next));
        seen.add(next);
      }
      assert.equal(
        await store.write(sid, record({ data: '{"old":1}' }), version),
        undefined,
      );
    },
  ),
];
