import { type PostgresPool, PostgresStore } from "@koa-io/session/postgres";
import {
  assert,
  assertEquals,
  assertFalse,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { inspect } from "node:util";
// @ts-types="@types/pg"
import pg from "pg";
import type { Address } from "../support/postgres/cluster.ts";
import { itNeedsPostgres, withPostgres } from "../support/postgres/server.ts";
import { newTable, type Stores, storesAt } from "../support/postgres/stores.ts";
import { postgresBin } from "../support/requires.ts";
import {
  count,
  granted,
  HOLD,
  HOUR,
  newId,
  record,
} from "../support/stores/records.ts";
import { until } from "../support/wait.ts";

let address: Address;
let stores: Stores;

describe("PostgresStore", () => {
  withPostgres((found) => address = found);
  beforeEach(() => {
    if (postgresBin()) stores = storesAt(address);
  });
  afterEach(() => stores?.close());

  describe("records", records);
  describe("prune", pruning);
  describe("migrate", migration);
  describe("bad input", badInput);
});

function records() {
  let store: PostgresStore;
  beforeEach(async () => {
    if (postgresBin()) store = await stores.open();
  });

  itNeedsPostgres("come back with every field as it was", async () => {
    const odd = record({
      data: JSON.stringify({
        text: "žluť 😀 \u2028 \ud800 \n\0 {}",
        deep: [{ a: null }],
      }),
      absoluteEnd: Date.now() + 2 * HOUR + 0.5,
      cookie: "session",
      clientId: "client \n 😀 \0 \ud800",
      settled: true,
      user: 'user:{x},"\\',
      created: 1.25,
      authenticatedAt: 2.5,
      lastUsed: 3.75,
      arrived: Date.now() + 0.125,
      meta: '{"a":"\\u0000"}',
      handle: "h'; DROP TABLE x; --",
    });
    const other = record({ cookie: Date.now(), maxAge: 1500.25 });
    for (const written of [odd, other]) {
      const ids = [
        newId("{}odd} id\n😀%\0\udc00'\"\\"),
        newId("{}odd} id\n😀%\0\udc00'\"\\"),
      ] as const;
      const version = await store.write(ids[0], written, null);
      assertEquals(await store.read(ids[0]), { ...written, version: version! });
      const begun = await store.begin(ids[1], written);
      assert(begun.status === "begun");
      const { version: second } = begun;
      assertEquals(await store.read(ids[1]), { ...written, version: second });
      granted(await store.acquire(ids[0], "t\0,.", HOLD, 0));
      const done = await store.commit(ids[0], "t\0,.", written);
      assertEquals(done.status, "done");
      if (written.clientId === undefined) continue;
      assertEquals(await store.byClient(written.clientId), ids[1]);
      assertEquals((await store.byUser(written.user!)).length, 2);
    }
  });

  itNeedsPostgres(
    "do not depend on the parsers that the application has set",
    async () => {
      const sid = newId();
      const of = record({ cookie: 5.5, settled: true });
      const version = await store.write(sid, of, null);
      const { builtins } = pg.types;
      const before = [builtins.FLOAT8, builtins.BOOL, builtins.TEXT].map((id) =>
        [id, pg.types.getTypeParser(id)] as const
      );
      for (const [id] of before) pg.types.setTypeParser(id, () => "parsed");
      try {
        assertEquals(await store.read(sid), { ...of, version: version! });
      } finally {
        for (const [id, parse] of before) pg.types.setTypeParser(id, parse);
      }
    },
  );

  itNeedsPostgres(
    "of an expired session can be read, and every write to it is refused",
    async () => {
      const sid = newId();
      const version = await store.write(
        sid,
        record({ expires: Date.now() + 30 }),
        null,
      );
      await until(async () => !(await store.extend(sid, 0)), "the end");
      assertEquals((await store.read(sid))!.version, version);
      assertFalse(await store.extend(sid, Date.now() + HOUR));
      assertEquals(await store.write(sid, record(), version!), undefined);
      assertEquals(await store.acquire(sid, newId(), HOUR, 0), {
        status: "missing",
        waited: false,
      });
      assertEquals(await store.versions([sid]), [undefined]);
      assertFalse(await store.destroy(sid));
      assertNotEquals(await store.write(sid, record(), null), undefined);
    },
  );

  itNeedsPostgres(
    "are written exactly where transactions are serializable by default",
    async () => {
      const config = {
        max: 20,
        options: "-c default_transaction_isolation=serializable",
      };
      const strict = await stores.open({ config });
      const sid = newId();
      await strict.write(sid, record(), null);
      await Promise.all(Array.from({ length: 15 }, async (_, i) => {
        const wait = 6 * HOLD;
        const got = granted(await strict.acquire(sid, `t${i}`, wait, wait));
        const data = `{"n":${count(got) + 1}}`;
        await strict.commit(sid, `t${i}`, record({ data }));
      }));
      assertEquals(count((await store.read(sid))!), 15);
      const of = record({ clientId: newId() });
      const begun = await Promise.all(
        Array.from(
          { length: 20 },
          () => strict.begin(newId(), of, { replaces: [] }),
        ),
      );
      const won = begun.filter(({ status }) => status === "begun");
      assertEquals(won.length, 1);
    },
  );

  itNeedsPostgres("errors quote no id", async () => {
    const sid = newId();
    const to = newId();
    await store.write(sid, record(), null);
    await stores.query(
      "ALTER TABLE $table ADD CONSTRAINT no_bob CHECK (user_id <> 'bob')",
    );
    for (
      const call of [
        () => store.write(to, record({ user: "bob" }), null),
        () => store.begin(to, record({ user: "bob", clientId: to })),
      ]
    ) {
      const error = await assertRejects(call, Error, "no_bob");
      assertFalse(inspect(error, { depth: 9 }).includes(to), "the id is out");
    }
  });

  itNeedsPostgres(
    "keep the index by expiry as it is, until the end moves by ten minutes",
    async () => {
      const sid = newId();
      const expires = 600_000 * Math.ceil(Date.now() / 600_000) + 1;
      await store.write(sid, record({ expires }), null);
      const unit = async () =>
        (await stores.query("SELECT prune_after FROM $table"))[0]!.prune_after;
      const first = await unit();
      await store.extend(sid, expires + 500_000);
      assertEquals(await unit(), first);
      await store.extend(sid, expires + 700_000);
      assertEquals(await unit(), first as number + 1);
    },
  );
}

function pruning() {
  const expired = record({ expires: Date.now() - 20_000 });
  const fill = async (store: PostgresStore, many: number) => {
    await store.write(newId(), record(), null);
    await store.write(newId(), record({ expires: Date.now() - 1_000 }), null);
    await stores.query(
      `INSERT INTO $table (sid, hash, birth, version, bound, data, details, expires, prune_after)
       SELECT 'old-' || i, '', '', '', 0, '{}', '{}', $1, $2 FROM generate_series(1, $3) AS i`,
      [expired.expires, Math.ceil(expired.expires / 600_000), many],
    );
  };
  const left = async () =>
    Number((await stores.query("SELECT count(*) AS n FROM $table"))[0]!.n);

  itNeedsPostgres(
    "deletes expired sessions, in batches, and former ids and locks",
    async () => {
      const store = await stores.open();
      await fill(store, 1_200);
      await stores.query(
        "INSERT INTO $table_former VALUES ('old', NULL, $1, 'note')",
        [Date.now() - 700_000],
      );
      const sid = newId();
      await store.write(sid, record(), null);
      await store.destroy(sid, "note");
      await store.tryLock("old", "t", 1);
      await store.tryLock("held", "t", HOLD);
      await until(async () => await store.tryLock("old", "u", 1), "the end");
      assertEquals(await store.prune(), 1_200);
      assertEquals(await left(), 2);
      assertEquals(
        (await stores.query("SELECT sid FROM $table_former")).length,
        1,
      );
      assertEquals(
        await stores.query("SELECT name FROM $table_locks"),
        [{ name: "held" }],
      );
    },
  );

  itNeedsPostgres("does not wait for rows that are locked", async () => {
    const store = await stores.open();
    await fill(store, 10);
    const client = await stores.pool().connect();
    try {
      await client.query("BEGIN");
      await client.query(
        `SELECT FROM ${stores.table} WHERE sid = 'old-1' FOR UPDATE`,
      );
      assertEquals(await store.prune(), 9);
      await client.query("ROLLBACK");
    } finally {
      client.release();
    }
    assertEquals(await store.prune(), 1);
  });

  itNeedsPostgres("is done by one process an interval", async () => {
    const first = await stores.open({ prune: 400 });
    await stores.open({ prune: 400 });
    await stores.open({ prune: 400 });
    await fill(first, 5);
    await until(async () => await left() === 2, "the clean-up");
    const locks = await stores.query("SELECT name FROM $table_locks");
    assertEquals(locks, [{ name: '"prune' }]);
  });
}

function migration() {
  itNeedsPostgres("can be repeated, and run by many at once", async () => {
    const pool = stores.pool();
    const { table } = stores;
    const many = Array.from(
      { length: 8 },
      () => new PostgresStore({ pool, table, prune: false }),
    );
    await Promise.all(many.map((store) => store.migrate()));
    await many[0]!.migrate();
    const sid = newId();
    assert(await many[1]!.write(sid, record(), null));
    await many[2]!.migrate();
    assert(await many[3]!.read(sid));
    for (const store of many) await store.close();
    await stores.open();
  });

  itNeedsPostgres("creates in a schema, which must exist", async () => {
    const schema = newTable();
    const store = await stores.open();
    const pool = stores.pool();
    const inSchema = new PostgresStore({ pool, schema, prune: false });
    await assertRejects(
      () => inSchema.read(newId()),
      Error,
      `the table "${schema}"."koa_io_sessions" must exist`,
    );
    await assertRejects(() => inSchema.migrate(), Error, schema);
    await stores.query(`CREATE SCHEMA ${schema}`);
    try {
      await inSchema.migrate();
      const sid = newId();
      await inSchema.begin(sid, record({ clientId: "c" }));
      assert(await inSchema.read(sid));
      assertEquals(await store.read(sid), undefined);
    } finally {
      await inSchema.close();
      await stores.query(`DROP SCHEMA ${schema} CASCADE`);
    }
  });

  itNeedsPostgres(
    "needs no right to create where nothing is missing, nor do the calls",
    async () => {
      await (await stores.open()).close();
      const user = newTable();
      await stores.query(`CREATE ROLE ${user} LOGIN`);
      for (const table of ["$table", "$table_former", "$table_locks"]) {
        await stores.query(
          `GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${user}`,
        );
      }
      try {
        const store = await stores.open({ config: { user } });
        await store.migrate();
        const [sid, of] = [newId(), record({ clientId: newId() })];
        await store.begin(sid, of);
        granted(await store.acquire(sid, "t", HOLD, 0));
        const next = store.acquire(sid, "u", HOLD, HOLD);
        await store.extend(sid, of.expires + 5);
        await store.commit(sid, "t", of);
        granted(await next);
        await store.move(sid, newId(), of, { token: "u" }, "note");
        await store.tryLock("l", "t", 1);
        await store.unlock("l", "t");
        await store.destroy(sid, "note");
        await store.prune();
      } finally {
        await stores.query(`DROP OWNED BY ${user}`);
        await stores.query(`DROP ROLE ${user}`).catch(() => {});
      }
    },
  );
}

function badInput() {
  const refused = (
    options: unknown,
    Refusal: typeof TypeError | typeof RangeError,
    message: string,
  ) =>
    assertThrows(
      () => new PostgresStore(options as { pool: PostgresPool }),
      Refusal,
      message,
    );

  it("is refused by the name of the option", async () => {
    const pool = new pg.Pool();
    refused(undefined, TypeError, "options must be an object");
    refused({}, TypeError, "pool must be a Pool of pg: received undefined");
    refused({ pool: "postgres://" }, TypeError, 'received "postgres://"');
    refused({ pool: {} }, TypeError, "pool.query must be a function");
    const client = new pg.Client();
    refused({ pool: client }, TypeError, "a Pool of pg: received a Client");
    refused({ pool, table: 5 }, TypeError, "table must be a name");
    refused({ pool, table: "" }, RangeError, "table must be a name");
    refused({ pool, table: 'a"b' }, RangeError, 'received "a\\"b"');
    refused(
      { pool, table: "app.sessions" },
      RangeError,
      'received "app.sessions" (the schema is an option of its own)',
    );
    refused({ pool, table: "1st" }, RangeError, "begin with a digit");
    refused({ pool, table: "t".repeat(41) }, RangeError, "at most 40");
    refused({ pool, schema: "a-b" }, RangeError, "schema must be a name");
    refused({ pool, prune: 0 }, RangeError, "prune must be");
    refused({ pool, prune: true }, TypeError, "prune must be");
    refused({ pool, listen: "yes" }, TypeError, "listen must be a boolean");
    await pool.end();
    refused({ pool }, TypeError, "received a Pool that was ended");
  });

  it("null counts as left out", async () => {
    const pool = new pg.Pool();
    const options = { table: null, schema: null, prune: null, listen: null };
    const store = new PostgresStore({ pool, ...options });
    assertEquals(store.table, '"koa_io_sessions"');
    await store.close();
    await pool.end();
  });

  itNeedsPostgres("a missing table is named, and what to do", async () => {
    const pool = stores.pool();
    const { table } = stores;
    const store = new PostgresStore({ pool, table, prune: false });
    const message =
      `the table "${table}" must exist: call await store.migrate()`;
    await assertRejects(() => store.read(newId()), Error, message);
    await assertRejects(
      () => store.acquire(newId(), "t", 5, 5),
      Error,
      message,
    );
    await store.migrate();
    assertEquals(await store.read(newId()), undefined);
    await stores.query("DROP TABLE $table, $table_former, $table_locks");
    await assertRejects(() => store.read(newId()), Error, "must exist");
    await store.close();
  });

  itNeedsPostgres("a table of another shape is named", async () => {
    const { table } = stores;
    await stores.query(
      "CREATE TABLE $table (sid varchar PRIMARY KEY, sess json, expire timestamp)",
    );
    const pool = stores.pool();
    const store = new PostgresStore({ pool, table, prune: false });
    for (const call of [() => store.read(newId()), () => store.migrate()]) {
      const error = await assertRejects(call, Error);
      assertStringIncludes(
        error.message,
        `the table "${table}" must be one that migrate() made: received one without hash,`,
      );
    }
    await store.close();
    await stores.query("DROP TABLE $table");
  });

  itNeedsPostgres("a pool that is ended later is named", async () => {
    const pool = stores.pool();
    const store = await stores.open({ pool });
    const end = pool.end.bind(pool);
    await end();
    // it would reject when it is ended a second time
    pool.end = () => Promise.resolve();
    for (const call of [() => store.read(newId()), () => store.migrate()]) {
      await assertRejects(call, Error, "received a Pool that was ended");
    }
  });

  itNeedsPostgres("a server that is too old is named", async () => {
    const pool = stores.pool();
    const query = pool.query.bind(pool);
    Object.assign(pool, {
      async query(...args: [object]) {
        const result = await query(...args as unknown as [string]);
        for (const row of result.rows) {
          if ("server" in row) [row.server, row.name] = ["120022", "12.22"];
        }
        return result;
      },
    });
    const { table } = stores;
    const store = new PostgresStore({ pool, table, prune: false });
    for (const call of [() => store.read(newId()), () => store.migrate()]) {
      await assertRejects(
        call,
        Error,
        "the server must be PostgreSQL 13 or newer: received 12.22",
      );
    }
    await store.close();
  });
}
