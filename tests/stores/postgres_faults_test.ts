import type { PostgresStore } from "@koa-io/session/postgres";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { afterEach, beforeEach, describe } from "@std/testing/bdd";
import process from "node:process";
// @ts-types="@types/pg"
import type pg from "pg";
import type { Postgres } from "../support/postgres/cluster.ts";
import { cutNext } from "../support/postgres/cut.ts";
import {
  itNeedsPostgres,
  withOwnPostgres,
} from "../support/postgres/server.ts";
import { type Stores, storesAt } from "../support/postgres/stores.ts";
import { postgresBin } from "../support/requires.ts";
import {
  count,
  granted,
  HOLD,
  newId,
  record,
} from "../support/stores/records.ts";
import { settles, until } from "../support/wait.ts";

let server: Postgres;

describe("PostgresStore under faults", () => {
  let stores: Stores;
  let pool: pg.Pool;
  let store: PostgresStore;
  let sid: string;
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  withOwnPostgres((started) => server = started);
  beforeEach(async () => {
    unhandled.length = 0;
    process.on("unhandledRejection", note);
    if (!postgresBin()) return;
    stores = storesAt(server.address);
    pool = stores.pool();
    store = await stores.open({ pool });
    sid = newId();
    await store.write(sid, record(), null);
  });
  afterEach(async () => {
    await stores?.close();
    process.off("unhandledRejection", note);
    assertEquals(unhandled, []);
  });

  const queued = (many = 1) =>
    until(async () => {
      const [row] = await stores.query("SELECT queue FROM $table");
      return (row!.queue as unknown[]).length === many;
    }, "the queue");

  itNeedsPostgres(
    "idle connections that were cut cost no call an error",
    async () => {
      for (let round = 0; round < 5; round++) {
        await Promise.all(Array.from({ length: 5 }, () => store.read(sid)));
        const other = stores.pool();
        await other.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`,
        );
        assertEquals(count((await store.read(sid))!), 0);
        granted(await store.acquire(sid, `t${round}`, HOLD, HOLD));
        const done = await store.commit(sid, `t${round}`, record());
        assertEquals(done.status, "done");
      }
    },
  );

  for (const moment of ["before", "after"] as const) {
    itNeedsPostgres(
      `a statement whose connection is cut ${moment} it ran has one effect`,
      async () => {
        const cut = () => cutNext(pool, moment);
        cut();
        const { version } = (await store.read(sid))!;
        cut();
        const second = await store.write(sid, record(), version);
        assertEquals((await store.read(sid))!.version, second);
        cut();
        granted(await store.acquire(sid, "t", HOLD, HOLD));
        cut();
        const data = '{"n":1}';
        const done = await store.commit(sid, "t", record({ data }));
        assert(done.status === "done");
        assertEquals((await store.read(sid))!.version, done.version);
        const to = newId();
        cut();
        const condition = { expected: done.version };
        const moved = await store.move(sid, to, record(), condition, "note");
        assert(moved.status === "done");
        assertEquals((await store.read(to))!.version, moved.version);
        const name = newId();
        cut();
        assertEquals(await store.tryLock(name, "t", HOLD), true);
        cut();
        const created = await store.write(newId(), record(), null);
        assert(created !== undefined);
      },
    );
  }

  itNeedsPostgres(
    "a write of which nothing is known, and which another followed, rejects",
    async () => {
      const { version } = (await store.read(sid))!;
      const other = await stores.open();
      const query = pool.query;
      Object.assign(pool, {
        async query(...args: unknown[]) {
          pool.query = query;
          await Reflect.apply(query, pool, args);
          const { version } = (await other.read(sid))!;
          await other.write(sid, record({ data: '{"n":7}' }), version);
          throw new Error("Connection terminated unexpectedly");
        },
      });
      await assertRejects(
        () => store.write(sid, record(), version),
        Error,
        "Connection terminated",
      );
      assertEquals(count((await store.read(sid))!), 7);
    },
  );

  itNeedsPostgres(
    "waits end while the server is down, and leases work when it is back",
    async () => {
      const other = await stores.open();
      granted(await store.acquire(sid, "t", HOLD, HOLD));
      const wait = other.acquire(sid, "u", 300, 2_000);
      const ended = wait.then(() => "answered", () => "refused");
      await queued();
      await server.stop();
      assertEquals(await settles(ended, "the wait", 3_000), "refused");
      await assertRejects(() => store.read(sid));
      await server.start();
      // a crash may undo a lease, which is not waited for on the disk
      const { status } = await store.commit(sid, "t", record());
      assert(status === "done" || status === "lost", status);
      granted(await store.acquire(sid, "v", HOLD, HOLD));
      const next = other.acquire(sid, "w", HOLD, HOLD);
      await queued();
      await store.commit(sid, "v", record({ data: '{"n":5}' }));
      assertEquals(count(granted(await settles(next, "the lease", 2_000))), 5);
    },
  );

  itNeedsPostgres(
    "acquire rejects when the server does not answer, and a late lease is released",
    async () => {
      await server.signal("SIGSTOP");
      try {
        await assertRejects(
          () => store.acquire(sid, "t", 60_000, 50),
          Error,
          "does not answer",
        );
      } finally {
        await server.signal("SIGCONT");
      }
      const other = await stores.open();
      granted(await other.acquire(sid, "u", HOLD, 3_000));
    },
  );

  itNeedsPostgres("close ends while the server does not answer", async () => {
    const other = await stores.open();
    granted(await store.acquire(sid, "t", HOLD, HOLD));
    const wait = other.acquire(sid, "u", HOLD, HOLD);
    const refused = assertRejects(() => wait, Error, "closed");
    await queued();
    await server.signal("SIGSTOP");
    try {
      await settles(other.close(), "close", 8_000);
      await refused;
    } finally {
      await server.signal("SIGCONT");
    }
  });

  itNeedsPostgres(
    "statement_timeout rejects the call it passes in",
    async () => {
      const brief = await stores.open({ config: { statement_timeout: 100 } });
      const blocker = await stores.pool().connect();
      try {
        await blocker.query("BEGIN");
        await blocker.query(`SELECT FROM ${stores.table} FOR UPDATE`);
        await assertRejects(
          () => brief.acquire(sid, "t", HOLD, HOLD),
          Error,
          "statement timeout",
        );
        await blocker.query("ROLLBACK");
      } finally {
        blocker.release();
      }
      granted(await brief.acquire(sid, "u", HOLD, 0));
    },
  );

  itNeedsPostgres(
    "a read-only standby is read, and refuses writes",
    async () => {
      const standby = await server.standby();
      const there = storesAt(standby.address);
      try {
        const options = { table: stores.table, pool: there.pool() };
        await until(async () => {
          const { rows } = await options.pool.query(
            "SELECT to_regclass($1) AS found",
            [stores.table],
          );
          return rows[0].found !== null;
        }, "the table on the standby");
        const copy = new (store.constructor as typeof PostgresStore)(options);
        await copy.migrate();
        await until(
          async () => await copy.read(sid) !== undefined,
          "the session",
        );
        for (
          const call of [
            () => copy.write(newId(), record(), null),
            () => copy.begin(newId(), record({ clientId: "c" })),
            () => copy.acquire(sid, "t", HOLD, HOLD),
            () => copy.extend(sid, Date.now() + 2 * 3_600_000),
            () => copy.destroy(sid),
          ]
        ) {
          await assertRejects(call, Error, "read-only");
        }
        await copy.close();
      } finally {
        await there.close();
        await standby.remove();
      }
    },
  );
});
