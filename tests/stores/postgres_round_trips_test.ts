import { bridgeSession } from "@koa-io/session";
import { assert, assertEquals } from "@std/assert";
import { afterEach, beforeEach, describe } from "@std/testing/bdd";
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import type { Address } from "../support/postgres/cluster.ts";
import { itNeedsPostgres, withPostgres } from "../support/postgres/server.ts";
import { type Stores, storesAt } from "../support/postgres/stores.ts";
import { granted, HOLD, newId, record } from "../support/stores/records.ts";
import { pause } from "../support/wait.ts";

interface Statement {
  readonly text: string;
  readonly name?: string;
}

let address: Address;
let stores: Stores;

/** A store, and the statements that it sends; `drain` returns those so far. */
async function watched() {
  const pool = stores.pool();
  const store = await stores.open({ pool });
  // the first call checks the server and the tables
  await store.read(newId());
  const sent: Statement[] = [];
  const query = pool.query.bind(pool);
  Object.assign(pool, {
    query(...args: [Statement]) {
      sent.push(args[0]);
      return Reflect.apply(query, pool, args);
    },
  });
  return { store, drain: () => sent.splice(0) };
}

describe("PostgresStore's round trips", () => {
  withPostgres((found) => address = found);
  beforeEach(() => {
    if (address) stores = storesAt(address);
  });
  afterEach(() => stores?.close());

  itNeedsPostgres("are one for each operation", async () => {
    const { store, drain } = await watched();
    const [sid, of] = [newId(), record({ clientId: newId(), user: newId() })];
    const cost = async <T>(call: () => T | Promise<T>): Promise<T> => {
      const result = await call();
      assertEquals(drain().length, 1, String(call));
      return result;
    };
    await cost(() => store.begin(sid, of));
    await cost(() => store.begin(newId(), of, { replaces: [sid] }));
    const read = (await cost(() => store.read(sid)))!;
    const version = (await cost(() => store.write(sid, of, read.version)))!;
    await cost(() => store.extend(sid, of.expires + 1_000));
    await cost(() => store.byClient(of.clientId!));
    await cost(() => store.byUser(of.user!));
    await cost(() => store.byHash(newId()));
    await cost(() => store.versions([sid]));
    await cost(() => store.former(sid));
    granted(await cost(() => store.acquire(sid, "t", HOLD, HOLD)));
    await cost(() => store.commit(sid, "t", of));
    granted(await cost(() => store.acquire(sid, "v", HOLD, HOLD)));
    await cost(() => store.move(sid, newId(), of, { token: "v" }, "note"));
    await cost(() => store.destroy(sid));
    await cost(() => store.tryLock(newId(), "t", HOLD));
    await cost(() => store.unlock(newId(), "t"));
    assert(version !== read.version);
  });

  itNeedsPostgres(
    "have no names, which fail behind PgBouncer in transaction mode",
    async () => {
      const { store, drain } = await watched();
      await store.begin(newId(), record({ clientId: newId() }));
      await store.read(newId());
      assertEquals(drain().filter((each) => "name" in each), []);
    },
  );

  itNeedsPostgres(
    "are two for withSession, and one for a read",
    async () => {
      const { store, drain } = await watched();
      const app = new Koa();
      app.keys = ["key"];
      const bridge = bridgeSession<{ n: number }>(app, new Server(), { store });
      try {
        const sid = newId();
        await store.write(sid, record(), null);
        drain();
        await bridge.withSession(sid, ({ session }) => session.n++);
        assertEquals(drain().length, 2);
        await bridge.withSession(sid, ({ session }) => session.n);
        assertEquals(drain().length, 2);
        assertEquals((await bridge.peek(sid))?.n, 1);
        assertEquals(drain().length, 1);
      } finally {
        await bridge.close();
      }
    },
  );

  itNeedsPostgres(
    "are four for a call that has to wait, and the polls of the process",
    async () => {
      const [a, b] = [await watched(), await watched()];
      const sid = newId();
      await a.store.write(sid, record(), null);
      // both have waited once: they listen
      for (const [one, two] of [[a, b], [b, a]] as const) {
        granted(await one.store.acquire(sid, "t", HOLD, HOLD));
        const next = two.store.acquire(sid, "u", HOLD, HOLD);
        await pause(500);
        await one.store.commit(sid, "t", undefined);
        granted(await next);
        await two.store.commit(sid, "u", undefined);
      }
      a.drain();
      b.drain();
      granted(await a.store.acquire(sid, "v", HOLD, HOLD));
      const next = b.store.acquire(sid, "w", HOLD, HOLD);
      await pause(300);
      await a.store.commit(sid, "v", record());
      granted(await next);
      await b.store.commit(sid, "w", record());
      const writes = (sent: Statement[]) =>
        sent.filter(({ text }) => text.startsWith("UPDATE")).length;
      assertEquals(writes(a.drain()), 2);
      const all = b.drain();
      assertEquals(writes(all), 4);
      // 300 ms
      assert(all.length - writes(all) <= 4, String(all.length));
    },
  );
});
