/**
 * The rules of the atomic tier on giving a session another id.
 *
 * @module
 */
import assert from "node:assert/strict";
import type {
  AtomicStore,
  MoveCondition,
  MoveResult,
  SessionRecord,
} from "../api/store.ts";
import {
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

// it lasts for longer than the rules take
const MOVED = record({
  data: '{"moved":1}',
  expires: Date.now() + 86_400_000,
});

/** Moves a session to a new id; returns the id and the result. */
export async function move(
  store: AtomicStore,
  from: string,
  condition: MoveCondition,
  of: SessionRecord = MOVED,
): Promise<{ to: string; result: MoveResult }> {
  const to = id();
  return { to, result: await store.move(from, to, of, condition, "note") };
}

/** A move that is refused writes nothing, under neither id. */
export async function refused(
  store: AtomicStore,
  from: string,
  condition: MoveCondition,
  status: string,
): Promise<void> {
  const before = await store.read(from);
  const former = await store.former(from);
  const { to, result } = await move(store, from, condition);
  assert.deepEqual(result, { status });
  assert.deepEqual(await store.read(from), before, "the session is changed");
  assert.equal(await store.read(to), undefined, "the new id is written");
  assert.deepEqual(await store.former(from), former, "a note is kept");
}

/** Exactly one of the ids has a live session. */
async function isUnderOne(
  store: AtomicStore,
  sids: readonly string[],
): Promise<string> {
  const stored = await Promise.all(sids.map((sid) => store.read(sid)));
  const alive = sids.filter((_, i) => isAlive(stored[i]));
  assert.equal(alive.length, 1, `the session is under ${alive.length} ids`);
  return alive[0]!;
}

/** The rules on moves. */
export const MOVE_RULES: readonly StoreRule[] = [
  rule(
    "move: the session has the new id and record, and the old id none",
    async (store) => {
      const of = record({ data: '{"n":1}', created: Date.now() });
      const { sid, version } = await begin(store, of);
      const next = record({ data: '{"n":2}', user: id(), arrived: 1.25 });
      const condition = { expected: version };
      const { to, result } = await move(store, sid, condition, next);
      assert.equal(result.status, "done");
      const { version: second } = result as { version: unknown };
      assert.notEqual(second, version);
      const stored = await store.read(to);
      assert.deepEqual(written(stored), next);
      assert.equal(stored?.version, second);
      assert.equal(await store.read(sid), undefined);
      assert.equal(await store.write(sid, of, version), undefined);
      assert.equal(await store.extend(sid, of.expires + 1_000), false);
      assert.equal(await store.destroy(sid), false);
      assert.notEqual(
        await store.write(to, record(), stored!.version),
        undefined,
      );
    },
  ),

  rule("move: the former id leads to the new one", async (store) => {
    const { sid, version } = await begin(store);
    const from = Date.now();
    const { to } = await move(store, sid, { expected: version });
    const former = await store.former(sid);
    assert.deepEqual([former?.to, former?.note], [to, "note"]);
    assert(former!.at >= from && former!.at <= Date.now(), "at is no time");
    assert.equal(await store.former(to), undefined);
    await store.destroy(sid, "late");
    assert.equal((await store.former(sid))?.to, to);
  }),

  rule("move: look-ups by client and user follow", async (store) => {
    const [clientId, user, other] = [id(), id(), id()];
    const { sid, version } = await begin(store, record({ clientId, user }));
    const one = await move(
      store,
      sid,
      { expected: version },
      record({ clientId, user }),
    );
    assert.equal(await store.byClient(clientId), one.to);
    assert.deepEqual([...await store.byUser(user)], [one.to]);
    const { to } = await move(
      store,
      one.to,
      { expected: (await store.read(one.to))!.version },
      record({ clientId: other, user: other }),
    );
    assert.equal(await store.byClient(other), to);
    assert.deepEqual([...await store.byUser(other)], [to]);
    const hint = await store.byClient(clientId);
    assert(hint === undefined || !isAlive(await store.read(hint)));
  }),

  rule(
    "move: a session that its client has replaced does not become the client's",
    async (store) => {
      const of = record({ clientId: id() });
      const { sid, version } = await begin(store, of);
      const next = await begin(store, of);
      await move(store, sid, { expected: version }, of);
      assert.equal(await store.byClient(of.clientId!), next.sid);
    },
  ),

  rule("move: another version is lost", async (store) => {
    const { sid, version } = await begin(store);
    await store.write(sid, record(), version);
    await refused(store, sid, { expected: version }, "lost");
    await refused(store, sid, { token: id() }, "lost");
  }),

  rule("move: a session that has ended is missing", async (store) => {
    const { sid, version } = await begin(store);
    await store.destroy(sid);
    await refused(store, sid, { expected: version }, "missing");
    await refused(store, id(), { expected: version }, "missing");
    await refused(store, sid, { token: id() }, "missing");
    const brief = await begin(store, ending(200));
    const isEnded = async () => !isAlive(await store.read(brief.sid));
    assert(await eventually(isEnded, 3_000), "the session does not end");
    const { to, result } = await move(store, brief.sid, {
      expected: brief.version,
    });
    assert.deepEqual(result, { status: "missing" });
    assert.equal(await store.read(to), undefined);
  }),

  rule("move: an id with a session is taken", async (store) => {
    const { sid, version } = await begin(store, record({ data: '{"n":1}' }));
    const other = await begin(store, record({ data: '{"n":2}' }));
    for (const to of [other.sid, sid]) {
      const condition = { expected: version };
      const result = await store.move(sid, to, MOVED, condition, "note");
      assert.deepEqual(result, { status: "taken" });
    }
    assert.equal((await store.read(sid))?.version, version);
    assert.equal((await store.read(other.sid))?.version, other.version);
    assert.equal(await store.former(sid), undefined);
  }),

  rule("move: an id whose session has expired is free", async (store) => {
    const brief = await begin(store, ending(200));
    const isEnded = async () => !isAlive(await store.read(brief.sid));
    assert(await eventually(isEnded, 3_000), "the session does not end");
    const { sid, version } = await begin(store);
    const condition = { expected: version };
    const result = await store.move(sid, brief.sid, MOVED, condition, "note");
    assert.equal(result.status, "done");
    assert.deepEqual(written(await store.read(brief.sid)), MOVED);
  }),

  rule("move: of many at once, one moves the session", async (store) => {
    for (let round = 0; round < 5; round++) {
      const { sid, version } = await begin(store);
      const moves = await Promise.all(
        Array.from(
          { length: 5 },
          () => move(store, sid, { expected: version }),
        ),
      );
      const done = moves.filter(({ result }) => result.status === "done");
      assert.equal(done.length, 1);
      assert.equal(
        moves.filter(({ result }) =>
          result.status === "missing" || result.status === "lost"
        ).length,
        4,
      );
      const alive = await isUnderOne(store, [
        sid,
        ...moves.map(({ to }) => to),
      ]);
      assert.equal(alive, done[0]!.to);
      assert.equal((await store.former(sid))?.to, alive);
    }
  }),

  rule(
    "move: of a move and a destroy, one finds the session",
    async (store) => {
      for (let round = 0; round < 10; round++) {
        const { sid, version } = await begin(store);
        const calls = [
          () => move(store, sid, { expected: version }),
          () => store.destroy(sid),
        ] as const;
        const [one, two] = round % 2 ? calls : [calls[1], calls[0]];
        const results = await Promise.all([one(), two()]);
        const moved = results.find((each) => typeof each === "object")!;
        const { to, result } = moved as Awaited<ReturnType<typeof move>>;
        const destroyed = results.includes(true);
        assert.equal(result.status, destroyed ? "missing" : "done");
        assert.equal(await store.read(sid), undefined);
        assert.equal(isAlive(await store.read(to)), !destroyed);
      }
    },
  ),

  rule("move: of a move and a write, one finds the version", async (store) => {
    for (let round = 0; round < 10; round++) {
      const { sid, version } = await begin(store);
      const [{ to, result }, wrote] = await Promise.all([
        move(store, sid, { expected: version }),
        store.write(sid, record({ data: '{"n":1}' }), version),
      ]);
      const isMoved = result.status === "done";
      assert.equal(wrote === undefined, isMoved);
      assert.equal(await isUnderOne(store, [sid, to]), isMoved ? to : sid);
    }
  }),

  rule("move: at all times is the session under one id", async (store) => {
    for (let round = 0; round < 20; round++) {
      const { sid, version } = await begin(store);
      const to = id();
      let isDone = false;
      const condition = { expected: version };
      const moving = Promise.resolve(
        store.move(sid, to, MOVED, condition, "note"),
      ).finally(() => isDone = true);
      while (!isDone) {
        if (round % 2) {
          const isNew = isAlive(await store.read(to));
          const isOld = isAlive(await store.read(sid));
          assert(!(isNew && isOld), "it is under both");
        } else {
          const isOld = isAlive(await store.read(sid));
          const isNew = isAlive(await store.read(to));
          assert(isOld || isNew, "it is under neither");
        }
        // a store may answer without a turn of the event loop
        await pause(0);
      }
      assert.equal((await moving).status, "done");
      assert.equal(await isUnderOne(store, [sid, to]), to);
    }
  }),
];
