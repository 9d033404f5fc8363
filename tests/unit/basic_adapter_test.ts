import { assert, assertEquals, assertRejects } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { BasicStoreAdapter } from "../../src/stores/basic_adapter.ts";
import {
  FaultyBasicStore,
  StoreDown,
} from "../support/stores/faulty_stores.ts";
import { LateStore } from "../support/stores/late_store.ts";
import { newId, record } from "../support/stores/records.ts";
import { until } from "../support/wait.ts";

const adapters: BasicStoreAdapter[] = [];

function adapt(store: FaultyBasicStore | LateStore): BasicStoreAdapter {
  const adapter = new BasicStoreAdapter(() => store, {
    needsContext: false,
    rolling: false,
    maxAge: 60_000,
  });
  adapters.push(adapter);
  return adapter;
}

async function begun(
  adapter: BasicStoreAdapter,
  of = record(),
): Promise<{ sid: string; expected: string | number }> {
  const sid = newId();
  const begun = await adapter.begin(sid, of);
  assert(begun.status === "begun");
  return { sid, expected: begun.version };
}

describe("BasicStoreAdapter", () => {
  afterEach(() => {
    for (const adapter of adapters.splice(0)) adapter.stop();
  });

  it("keeps no session in its index that has expired, although the store keeps its record", async () => {
    const store = new FaultyBasicStore();
    const adapter = adapt(store);
    const of = record({
      clientId: "c",
      user: "ada",
      expires: Date.now() + 30,
    });
    const { sid } = await begun(adapter, of);
    assertEquals(adapter.byClient("c"), sid);
    await until(() => of.expires < Date.now(), "the end");
    await adapter.read(sid);
    assertEquals(store.entries.size, 1);
    assertEquals(adapter.byClient("c"), undefined);
    assertEquals(adapter.byUser("ada"), []);
  });

  it("refuses a store that shows another object at each read", async () => {
    const store = new FaultyBasicStore();
    let reads = 0;
    const get = store.get.bind(store);
    store.get = async (sid) => {
      const found = await get(sid);
      return found && { ...found, lastAccess: ++reads };
    };
    const adapter = adapt(store);
    const { sid } = await begun(adapter);
    const { version } = (await adapter.read(sid))!;
    const error = await assertRejects(async () =>
      await adapter.write(sid, record(), version)
    ) as { code?: string };
    assertEquals(error.code, "SESSION_STORE");
    assertEquals(
      String(error).match(/under the keys (.+?)\./)?.[1],
      '"lastAccess"',
    );
    assert(reads < 10, `${reads} reads`);
  });

  it("takes a change by another process for a lost write", async () => {
    const store = new FaultyBasicStore();
    const adapter = adapt(store);
    const { sid } = await begun(adapter);
    const { version } = (await adapter.read(sid))!;
    await adapt(store).write(sid, record({ data: '{"n":9}' }), null);
    assertEquals(await adapter.write(sid, record(), version), undefined);
  });

  it("stores every field of a record under _bridge, and reads objects without them", async () => {
    const store = new FaultyBasicStore();
    const adapter = adapt(store);
    const of = record({
      clientId: "c",
      user: "ada",
      created: 1,
      authenticatedAt: 2,
      lastUsed: 3,
      arrived: 4.25,
      meta: "{}",
      handle: "h",
      cookie: Date.now(),
    });
    const { sid } = await begun(adapter, of);
    const { version: _, ...read } = (await adapter.read(sid))!;
    assertEquals(read, of);
    const object = JSON.parse(store.entries.get(sid)!);
    assertEquals(Object.keys(object).sort(), [
      "_bridge",
      "_expire",
      "_maxAge",
      "n",
    ]);
    for (const _bridge of [undefined, {}, { created: "x", meta: 1 }]) {
      store.entries.set("old", JSON.stringify({ n: 1, _bridge }));
      const { created, lastUsed, meta, handle } = (await adapter.read("old"))!;
      assertEquals([created, lastUsed, meta, handle], Array(4).fill(undefined));
    }
  });

  it("of many begins of one client, each but the last is returned once", async () => {
    const adapter = adapt(new FaultyBasicStore());
    const of = record({ clientId: "c" });
    const sids = Array.from({ length: 20 }, () => newId());
    const all = await Promise.all(sids.map((sid) => adapter.begin(sid, of)));
    const replaced = all.flatMap((each) =>
      each.status === "begun" && each.before ? [each.before] : []
    );
    assertEquals(replaced, sids.slice(0, -1));
    assertEquals(adapter.byClient("c"), sids.at(-1));
  });

  it("of many begins with replaces, one is begun", async () => {
    const adapter = adapt(new FaultyBasicStore());
    const of = record({ clientId: "c" });
    const sids = Array.from({ length: 20 }, () => newId());
    const all = await Promise.all(
      sids.map((sid) => adapter.begin(sid, of, { replaces: [] })),
    );
    assertEquals(
      all.slice(1),
      Array(19).fill({
        status: "occupied",
        before: sids[0],
      }),
    );
  });

  it("a begin is refused only by a session that is in the store and the client's", async () => {
    const store = new FaultyBasicStore();
    const adapter = adapt(store);
    const of = record({ clientId: "c", arrived: 5 });
    const { sid } = await begun(adapter, of);
    const earlier = record({ clientId: "c", arrived: 4 });
    const next = newId();
    assertEquals(await adapter.begin(next, earlier), { status: "superseded" });
    assertEquals(await adapter.begin(next, of, { replaces: [] }), {
      status: "occupied",
      before: sid,
    });
    assertEquals(store.entries.size, 1);
    store.entries.delete(sid);
    const free = await adapter.begin(next, earlier, { replaces: [] });
    assertEquals(free.status, "begun");
    const { version } = (await adapter.read(next))!;
    await adapter.write(next, record({ clientId: "d" }), version);
    const again = await adapter.begin(newId(), earlier, { replaces: [] });
    assertEquals(again.status, "begun");
  });

  it("a begin that fails leaves the client its former session", async () => {
    const store = new FaultyBasicStore();
    const adapter = adapt(store);
    const of = record({ clientId: "c" });
    const { sid } = await begun(adapter, of);
    store.modes = { set: "failing" };
    await assertRejects(
      async () => await adapter.begin(newId(), of),
      StoreDown,
    );
    assertEquals(adapter.byClient("c"), sid);
  });

  it("extend rewrites lastUsed, and an earlier one not", async () => {
    const store = new FaultyBasicStore();
    const adapter = adapt(store);
    const { sid } = await begun(adapter, record({ lastUsed: 5 }));
    const writes = () => store.calls.filter(([name]) => name === "set").length;
    assert(await adapter.extend(sid, 0, 9));
    assertEquals((await adapter.read(sid))!.lastUsed, 9);
    assertEquals(writes(), 2);
    assert(await adapter.extend(sid, 0, 7));
    assert(await adapter.extend(sid, 0));
    assertEquals(writes(), 2);
  });

  it("a move writes the new id, then destroys the old one, and keeps a note", async () => {
    const store = new FaultyBasicStore();
    const adapter = adapt(store);
    const of = record({ clientId: "c", user: "ada" });
    const { sid, expected } = await begun(adapter, of);
    const to = newId();
    store.calls.length = 0;
    const moved = await adapter.move(sid, to, of, { expected }, "note");
    assertEquals(moved.status, "done");
    assertEquals(store.calls.slice(-2), [["set", to], ["destroy", sid]]);
    assertEquals([...store.entries.keys()], [to]);
    const { to: target, note } = adapter.former(sid)!;
    assertEquals([target, note], [to, "note"]);
    assertEquals(adapter.byClient("c"), to);
    assertEquals(adapter.byUser("ada"), [to]);
    await adapter.destroy(sid, "late");
    assertEquals(adapter.former(sid)!.note, "note");
  });

  it("a move is refused for another version, a missing session, a taken id and a token", async () => {
    const adapter = adapt(new FaultyBasicStore());
    const [one, two] = [await begun(adapter), await begun(adapter)];
    const { expected } = one;
    const move = async (from: string, to: string) =>
      (await adapter.move(from, to, record(), { expected }, "")).status;
    assertEquals(await move(one.sid, two.sid), "taken");
    assertEquals(await move(one.sid, one.sid), "taken");
    assertEquals(await move(newId(), newId()), "missing");
    const token = { token: "t" };
    const leased = await adapter.move(one.sid, newId(), record(), token, "");
    assertEquals(leased.status, "lost");
    await adapter.write(one.sid, record({ data: '{"n":2}' }), expected);
    assertEquals(await move(one.sid, newId()), "lost");
    assertEquals(adapter.former(one.sid), undefined);
  });

  it("a move whose second step fails is undone until that has succeeded", async () => {
    const store = new FaultyBasicStore();
    const adapter = adapt(store);
    const of = record({ clientId: "c" });
    const { sid, expected } = await begun(adapter, of);
    const to = newId();
    store.modes = { destroy: "failing" };
    await assertRejects(
      async () => await adapter.move(sid, to, of, { expected }, "note"),
      StoreDown,
    );
    const tries = () =>
      store.calls.filter(([name, of]) => name === "destroy" && of === to)
        .length;
    await until(() => tries() > 1, "another attempt");
    assert(store.entries.has(to));
    assertEquals(adapter.former(sid), undefined);
    assertEquals(adapter.byClient("c"), sid);
    store.modes = {};
    await until(() => !store.entries.has(to), "the end of the new id");
    assert(store.entries.has(sid));
  });

  it("a destroy during a move ends the session under both ids", async () => {
    const store = new LateStore();
    const adapter = adapt(store);
    const { sid, expected } = await begun(adapter);
    const to = newId();
    const set = store.hold("set");
    const moving = adapter.move(sid, to, record(), { expected }, "note");
    await set.called.promise;
    await adapter.destroy(sid);
    set.gate.resolve();
    assertEquals(await moving, { status: "missing" });
    await until(() => store.entries.size === 0, "the end of the new id");
    assertEquals(adapter.former(sid), undefined);
  });

  it("leaves the client to its next session when a write is answered after a removal", async () => {
    const store = new LateStore();
    const adapter = adapt(store);
    const of = record({ clientId: "c", user: "ada" });
    const { sid, expected } = await begun(adapter, of);
    const { called, gate } = store.hold("set");
    const writing = adapter.write(sid, of, expected);
    await called.promise;
    const next = await begun(adapter, of);
    await adapter.destroy(sid);
    gate.resolve();
    await writing;
    assertEquals(adapter.byClient("c"), next.sid);
    assertEquals(adapter.byUser("ada"), [next.sid]);
    // the late write is undone
    await adapter.destroy(sid);
    assertEquals(adapter.byClient("c"), next.sid);
  });

  it("writes nothing when the session is removed during the comparison", async () => {
    const store = new LateStore();
    const adapter = adapt(store);
    const of = record({ clientId: "c" });
    const { sid, expected } = await begun(adapter, of);
    const { called, gate } = store.hold("get");
    const writing = adapter.write(sid, of, expected);
    await called.promise;
    await adapter.destroy(sid);
    const next = await begun(adapter, of);
    gate.resolve();
    assertEquals(await writing, undefined);
    assertEquals([...store.entries.keys()], [next.sid]);
    assertEquals(adapter.byClient("c"), next.sid);
  });
});
