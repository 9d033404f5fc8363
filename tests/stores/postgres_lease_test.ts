import type { PostgresStore } from "@koa-io/session/postgres";
import {
  assert,
  assertEquals,
  assertGreaterOrEqual,
  assertLess,
  assertMatch,
  assertRejects,
} from "@std/assert";
import { afterEach, beforeEach, describe } from "@std/testing/bdd";
// @ts-types="@types/pg"
import pg from "pg";
import type { Address } from "../support/postgres/cluster.ts";
import { itNeedsPostgres, withPostgres } from "../support/postgres/server.ts";
import { type Stores, storesAt } from "../support/postgres/stores.ts";
import { proxy } from "../support/ports.ts";
import { postgresBin } from "../support/requires.ts";
import {
  count,
  granted,
  HOLD,
  newId,
  record,
} from "../support/stores/records.ts";
import { pause, settles, until } from "../support/wait.ts";

/** How long a dead waiter holds up the next process, in ms. */
const SKIP = 500;

let address: Address;

describe("PostgresStore's leases", () => {
  withPostgres((found) => address = found);
  for (const listen of [true, false]) {
    describe(listen ? "with LISTEN" : "polling", () => leases(listen));
  }
});

function leases(listen: boolean) {
  let stores: Stores;
  let a: PostgresStore;
  let b: PostgresStore;
  let sid: string;
  const open = () => stores.open({ listen });
  beforeEach(async () => {
    if (!postgresBin()) return;
    stores = storesAt(address);
    [a, b, sid] = [await open(), await open(), newId()];
    await a.write(sid, record(), null);
  });
  afterEach(() => stores?.close());

  const queue = async (): Promise<string[]> => {
    const rows = await stores.query(
      "SELECT queue FROM $table WHERE sid = $1",
      [sid],
    );
    return (rows[0]?.queue ?? []) as string[];
  };
  const waiting = (many: number) =>
    until(async () => (await queue()).length === many, `${many} in the queue`);

  itNeedsPostgres("waiters are served in order, over all stores", async () => {
    await a.acquire(sid, "first", HOLD, 0);
    const order: number[] = [];
    const all: Promise<void>[] = [];
    for (let i = 0; i < 8; i++) {
      const store = i % 2 ? a : b;
      all.push(
        store.acquire(sid, `t${i}`, HOLD, HOLD).then(async (acquired) => {
          granted(acquired);
          order.push(i);
          await store.commit(sid, `t${i}`, undefined);
        }),
      );
      await waiting(i + 1);
    }
    await a.commit(sid, "first", undefined);
    await Promise.all(all);
    assertEquals(order, [0, 1, 2, 3, 4, 5, 6, 7]);
  });

  itNeedsPostgres(
    "200 waiters on a pool of 5 are all served, and other calls between them",
    async () => {
      const store = await stores.open({ listen, config: { max: 5 } });
      const other = newId();
      await store.write(other, record(), null);
      granted(await a.acquire(sid, "first", HOLD, 0));
      const all = Promise.all(Array.from({ length: 200 }, async (_, i) => {
        const got = granted(await store.acquire(sid, `t${i}`, HOLD, 60_000));
        const data = `{"n":${count(got) + 1}}`;
        const done = await store.commit(sid, `t${i}`, record({ data }));
        assertEquals(done.status, "done");
      }));
      await waiting(200);
      const since = performance.now();
      granted(await store.acquire(other, "t", HOLD, HOLD));
      await store.commit(other, "t", undefined);
      assertLess(performance.now() - since, 5_000);
      await a.commit(sid, "first", undefined);
      await all;
      assertEquals(count((await a.read(sid))!), 200);
      assertEquals(await queue(), []);
    },
  );

  itNeedsPostgres("a waiter that gives up leaves the queue", async () => {
    granted(await a.acquire(sid, "t", HOLD, 0));
    assertEquals(await b.acquire(sid, "u", HOLD, 30), { status: "timeout" });
    await waiting(0);
    await a.commit(sid, "t", undefined);
    granted(await a.acquire(sid, "v", HOLD, 0));
  });

  itNeedsPostgres("a dead waiter is skipped", async () => {
    granted(await a.acquire(sid, "t", HOLD, 0));
    // as processes that were killed leave them
    const dead = ["gone.1", "gone.2", "gone.3"];
    await stores.query("UPDATE $table SET queue = $2 WHERE sid = $1", [
      sid,
      dead,
    ]);
    const next = b.acquire(sid, "u", HOLD, HOLD);
    await waiting(4);
    const since = performance.now();
    await a.commit(sid, "t", undefined);
    granted(await settles(next, "the living", SKIP + 1_500));
    assertGreaterOrEqual(performance.now() - since, SKIP - 50);
    assertEquals(await queue(), []);
  });

  itNeedsPostgres(
    "a dead waiter in the queue of a free session costs nothing later",
    async () => {
      granted(await a.acquire(sid, "t", HOLD, 0));
      await a.commit(sid, "t", undefined);
      await stores.query(
        "UPDATE $table SET queue = '{gone.1}' WHERE sid = $1",
        [sid],
      );
      await pause(SKIP);
      granted(await b.acquire(sid, "u", HOLD, 0));
      assertEquals(await queue(), []);
    },
  );

  itNeedsPostgres(
    "a dead holder blocks for the rest of its lease, and the order is kept",
    async () => {
      granted(await a.acquire(sid, "dead", 300, 0));
      const order: string[] = [];
      const since = performance.now();
      const turn = async (store: PostgresStore, token: string) => {
        granted(await store.acquire(sid, token, HOLD, HOLD));
        order.push(token);
        await store.commit(sid, token, undefined);
      };
      const first = turn(b, "first");
      await waiting(1);
      const second = turn(a, "second");
      await Promise.all([first, second]);
      assertGreaterOrEqual(performance.now() - since, 200);
      assertLess(performance.now() - since, 4_000);
      assertEquals(order, ["first", "second"]);
    },
  );

  itNeedsPostgres(
    "of many that take a free session at once, one has it",
    async () => {
      const stores = [a, b, await open(), await open()];
      for (let round = 0; round < 20; round++) {
        const sid = newId();
        await a.write(sid, record(), null);
        const all = await Promise.all(
          Array.from(
            { length: 12 },
            (_, i) => stores[i % 4]!.acquire(sid, `t${i}`, HOLD, 0),
          ),
        );
        const won = all.filter(({ status }) => status === "granted");
        assertEquals(won.length, 1);
      }
    },
  );

  itNeedsPostgres(
    "a waiter for a session that ended and began again finds it missing",
    async () => {
      granted(await a.acquire(sid, "t", HOLD, 0));
      const next = b.acquire(sid, "u", HOLD, HOLD);
      await waiting(1);
      await a.destroy(sid);
      await a.write(sid, record(), null);
      assertEquals(await settles(next, "the waiter", 2_000), {
        status: "missing",
        waited: true,
      });
    },
  );

  itNeedsPostgres(
    "a session that expires under its holder is not written",
    async () => {
      const brief = newId();
      await a.write(brief, record({ expires: Date.now() + 300 }), null);
      granted(await a.acquire(brief, "t", HOLD, 0));
      const next = b.acquire(brief, "u", HOLD, HOLD);
      await pause(400);
      assertEquals(await a.commit(brief, "t", record()), { status: "missing" });
      assertEquals(await settles(next, "the waiter", 3_000), {
        status: "missing",
        waited: true,
      });
    },
  );

  itNeedsPostgres(
    "close rejects waiters, leaves the pool open, and can be repeated",
    async () => {
      granted(await a.acquire(sid, "t", HOLD, 0));
      const refused = assertRejects(
        () => b.acquire(sid, "u", HOLD, HOLD),
        Error,
        "closed",
      );
      await waiting(1);
      await b.close();
      await b[Symbol.asyncDispose]();
      await refused;
      await waiting(0);
      await assertRejects(() => b.acquire(sid, "w", HOLD, 0), Error, "closed");
      assert(await b.read(sid), "the pool is the caller's");
    },
  );

  if (!listen) return;

  /** Lets a store wait once, so that it listens. */
  const listening = async (store: PostgresStore) => {
    const sid = newId();
    await store.write(sid, record(), null);
    granted(await store.acquire(sid, "t", HOLD, 0));
    const next = store.acquire(sid, "u", HOLD, HOLD);
    await until(async () => (await listeners()).length > 0, "a listener");
    await pause(300);
    await store.commit(sid, "t", undefined);
    granted(await next);
    await store.commit(sid, "u", undefined);
  };
  const listeners = async () =>
    await stores.query(
      `SELECT pid, query FROM pg_stat_activity
       WHERE query LIKE 'LISTEN "koa_io_session_%' AND state = 'idle'
         AND application_name = $1`,
      [stores.table],
    );

  itNeedsPostgres(
    "a notification holds neither an id nor a token",
    async () => {
      await listening(b);
      let query = "";
      // a connection that is just asking something is not idle
      await until(async () => {
        const [listener] = await listeners();
        query = String(listener?.query ?? "");
        return query !== "";
      }, "the statement of a listener");
      const spy = new pg.Client(address);
      const seen: string[] = [];
      spy.on("notification", ({ payload }) => seen.push(payload ?? ""));
      await spy.connect();
      try {
        await spy.query(query);
        // a waiter that asks by itself at that moment needs no notification
        await until(async () => {
          granted(await a.acquire(sid, "token-1", HOLD, 0));
          const next = b.acquire(sid, "token-2", HOLD, HOLD);
          await waiting(1);
          await a.commit(sid, "token-1", undefined);
          granted(await next);
          await b.commit(sid, "token-2", undefined);
          return seen.some((payload) => payload !== "");
        }, "a notification");
        for (const payload of seen) assertMatch(payload, /^\d*$/);
      } finally {
        await spy.end();
      }
    },
  );

  itNeedsPostgres(
    "waiters are served while the connection that listens is cut, and it is opened again",
    async () => {
      await listening(b);
      granted(await a.acquire(sid, "t", HOLD, 0));
      const next = b.acquire(sid, "u", HOLD, HOLD);
      await waiting(1);
      for (const { pid } of await listeners()) {
        await stores.query("SELECT pg_terminate_backend($1)", [pid]);
      }
      await until(async () => (await listeners()).length === 0, "none");
      await a.commit(sid, "t", undefined);
      granted(await settles(next, "the waiter", 2_000));
      const last = a.acquire(sid, "v", HOLD, HOLD);
      await until(async () => (await listeners()).length > 0, "a listener");
      await b.commit(sid, "u", undefined);
      granted(await last);
    },
  );

  itNeedsPostgres(
    "a connection on which nothing arrives is not relied on",
    async () => {
      const pool = stores.pool();
      // as PgBouncer in transaction mode: LISTEN is accepted
      class Deaf extends pg.Client {
        override emit(event: string | symbol, ...args: unknown[]): boolean {
          return event !== "notification" && super.emit(event, ...args);
        }
      }
      Object.assign(pool, { Client: Deaf });
      const deaf = await stores.open({ pool });
      for (let round = 0; round < 3; round++) {
        const token = newId();
        granted(await a.acquire(sid, token, HOLD, HOLD));
        const next = deaf.acquire(sid, `${token}-2`, HOLD, HOLD);
        await waiting(1);
        await pause(300);
        const since = performance.now();
        await a.commit(sid, token, undefined);
        granted(await next);
        assertLess(performance.now() - since, 2_500);
        await deaf.commit(sid, `${token}-2`, undefined);
      }
    },
  );

  itNeedsPostgres(
    "the one connection of the store's own is opened when a call first has to wait",
    async () => {
      let made = 0;
      class Counted extends pg.Client {
        constructor(config?: pg.ClientConfig) {
          super(config);
          made++;
        }
      }
      const pool = stores.pool({ max: 1 });
      Object.assign(pool, { Client: Counted });
      const store = await stores.open({ pool });
      granted(await store.acquire(sid, "t", HOLD, HOLD));
      assertEquals(made, 1);
      const more = [1, 2, 3].map((i) =>
        store.acquire(sid, `u${i}`, HOLD, HOLD).then(() =>
          store.commit(sid, `u${i}`, undefined)
        )
      );
      await waiting(3);
      await until(() => made === 2, "the connection");
      await store.commit(sid, "t", undefined);
      await Promise.all(more);
      assertEquals(made, 2);
    },
  );

  itNeedsPostgres(
    "a waiter whose connections were cut is granted the lease when they are back",
    async () => {
      const link = await proxy(address.port);
      try {
        const other = await stores.open({ config: { port: link.port } });
        granted(await a.acquire(sid, "t", HOLD, HOLD));
        const wait = other.acquire(sid, "u", HOLD, HOLD);
        wait.catch(() => {});
        await waiting(1);
        await pause(200);
        link.cut();
        link.mend();
        const since = performance.now();
        await a.commit(sid, "t", record({ data: '{"n":3}' }));
        assertEquals(count(granted(await wait)), 3);
        assertLess(performance.now() - since, 3_000);
      } finally {
        await stores.close();
        await link.close();
      }
    },
  );
}
