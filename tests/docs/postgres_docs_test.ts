import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { afterEach, beforeEach, describe } from "@std/testing/bdd";
import { readFileSync } from "node:fs";
// @ts-types="@types/pg"
import pg from "pg";
import { PostgresStore } from "@koa-io/session/postgres";
import { Browser } from "../support/browser.ts";
import { CookieJar } from "../support/cookies.ts";
import { blocksOf, filesOf } from "../support/docs/markdown.ts";
import { startProgram, stopPrograms } from "../support/docs/program.ts";
import type { Address } from "../support/postgres/cluster.ts";
import { itNeedsPostgres, withPostgres } from "../support/postgres/server.ts";
import { newTable } from "../support/postgres/stores.ts";
import { postgresBin } from "../support/requires.ts";
import { once, until } from "../support/wait.ts";

const PAGE = "docs/postgres.md";

let address: Address;
let schema: string;
let pool: pg.Pool;

/** A database's URL whose tables are in a schema of their own. */
function url(): string {
  const { user, host, port, database } = address;
  const options = encodeURIComponent(`-c search_path=${schema}`);
  return `postgres://${user}@${host}:${port}/${database}?options=${options}`;
}

const browsers: Browser[] = [];

async function processes(
  files: Record<string, string>,
  entry: string,
): Promise<Browser[]> {
  const env = { DATABASE_URL: url() };
  const programs = await Promise.all(
    [1, 2, 3].map(() => startProgram(files, entry, env)),
  );
  const jar = new CookieJar();
  const made = programs.map(({ url }) => new Browser(url, jar));
  browsers.push(...made);
  return made;
}

describe("PostgreSQL in the documents", () => {
  withPostgres((found) => address = found);
  beforeEach(async () => {
    if (!postgresBin()) return;
    schema = newTable();
    pool = new pg.Pool({
      ...address,
      options: `-c search_path=${schema}`,
    });
    await pool.query(`CREATE SCHEMA ${schema}`);
  });
  afterEach(async () => {
    await Promise.all(browsers.splice(0).map((browser) => browser.close()));
    await stopPrograms();
    if (!postgresBin()) return;
    await pool.query(`DROP SCHEMA ${schema} CASCADE`);
    await pool.end();
  });

  itNeedsPostgres(
    "is one session on three processes, with logout, rotation, view and revocation across them",
    async () => {
      const at = await processes(filesOf(blocksOf(PAGE)), "server.ts");
      const [here, there, far] = at as [Browser, Browser, Browser];
      await here.get("/login");
      const sockets = await Promise.all(at.map((one) => one.connect()));
      const [near, other, third] = sockets as [
        typeof sockets[0],
        typeof sockets[0],
        typeof sockets[0],
      ];
      const counted = Array.from(
        { length: 30 },
        (_, i) => at[i % 3]!.ask(sockets[i % 3]!, "count"),
      );
      assertEquals(
        (await Promise.all(counted)).sort((a, b) => a - b),
        Array.from({ length: 30 }, (_, i) => i + 1),
      );
      const views = () =>
        JSON.stringify(
          far.received(third).filter(([name]) => name === "session:view"),
        );
      await until(() => views().includes('{"count":30}'), "the view");

      const rotated = once(other, "session:rotated");
      await here.get("/rotate");
      assertEquals(await rotated, [{ sockets: "follow" }]);
      assertEquals(await there.ask(other, "count"), 31);

      const revoked = once(third, "session:end");
      await here.get("/revoke");
      assertEquals(await revoked, [{ reason: "revoked" }]);
      assertEquals(await far.ask(third, "count"), "no session");

      await there.get("/login");
      await until(
        async () => await here.ask(near, "count") === 1,
        "the next session",
      );
      const ended = once(third, "session:end");
      await there.get("/logout");
      assertEquals(await ended, [{ reason: "logout" }]);
    },
  );

  itNeedsPostgres("has the SQL of migrate()", async () => {
    const [tables, grants] = blocksOf(PAGE)
      .filter(({ language }) => language === "sql");
    await pool.query(tables!.text);
    const written = await catalog();
    // columns, and indexes with those of the primary keys
    assertEquals(written.length, 18 + 4 + 3 + 5 + 2 + 1);
    const role = newTable();
    await pool.query(`CREATE ROLE ${role}`);
    await pool.query(grants!.text.replace(/TO app/, `TO ${role}`));
    await pool.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    const store = new PostgresStore({ pool, prune: false });
    await store.migrate();
    await pool.query(
      `DROP SCHEMA ${schema} CASCADE; CREATE SCHEMA ${schema}`,
    );
    await store.migrate();
    assertEquals(await catalog(), written);
    await store.close();
  });

  itNeedsPostgres("has an example of two processes", async () => {
    const name = "postgres.ts";
    const url = new URL(name, new URL("../../examples/", import.meta.url));
    const files = { [name]: readFileSync(url, "utf8") };
    const [here, there] = await processes(files, name);
    await here!.get("/");
    assertStringIncludes((await there!.get("/")).body, "<button>0</button>");
    const socket = await here!.connect();
    const other = await there!.connect();
    socket.emit("count");
    assertEquals(await here!.event(socket, "count"), [1]);
    assert(await there!.event(other, "count"));
  });
});

/** Columns and indexes, as text. */
async function catalog(): Promise<string[]> {
  const { rows } = await pool.query(
    `SELECT table_name || ' ' || column_name || ' ' || data_type || ' ' || is_nullable
       || ' ' || coalesce(column_default, '') AS text
     FROM information_schema.columns WHERE table_schema = $1
     UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = $1 ORDER BY 1`,
    [schema],
  );
  return rows.map(({ text }) => text);
}
