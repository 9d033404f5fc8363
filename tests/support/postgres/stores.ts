/** PostgresStores, each on a pool of its own, on common tables. */
import {
  PostgresStore,
  type PostgresStoreOptions,
} from "@koa-io/session/postgres";
import { randomBytes } from "node:crypto";
// @ts-types="@types/pg"
import pg from "pg";
import type { Address } from "./cluster.ts";

/** A name of a table that is not in use yet. */
export function newTable(): string {
  return `t_${randomBytes(8).toString("hex")}`;
}

/** Stores as separate processes have them: each on a pool of its own. */
export interface Stores {
  /** Also the `application_name` of the pools' connections. */
  readonly table: string;
  /** Another store on the same tables; the first one creates them. */
  open(options?: OpenOptions): Promise<PostgresStore>;
  /** A pool, which is ended with the stores. */
  pool(options?: pg.PoolConfig): pg.Pool;
  /** Runs a statement; `$table` in it is the name of the table. */
  query(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  /** Closes them all, and drops the tables. */
  close(): Promise<void>;
}

/** The options of a store and of its pool. */
export interface OpenOptions extends Partial<PostgresStoreOptions> {
  readonly config?: pg.PoolConfig;
}

/** Makes {@linkcode Stores} on a server. */
export function storesAt(address: Address): Stores {
  const table = newTable();
  const pools: pg.Pool[] = [];
  const stores: PostgresStore[] = [];
  let isMigrated = false;
  const own = () => pools[0] ?? made.pool();
  const made: Stores = {
    table,
    pool(options) {
      const pool = new pg.Pool({
        ...address,
        max: 5,
        application_name: table,
        ...options,
      });
      pool.on("error", () => {});
      pools.push(pool);
      return pool;
    },
    async open({ config, ...options } = {}) {
      const pool = options.pool ?? made.pool(config);
      const store = new PostgresStore({
        table,
        prune: false,
        ...options,
        pool,
      });
      stores.push(store);
      if (!isMigrated) await store.migrate();
      isMigrated = true;
      return store;
    },
    async query(text, values) {
      const named = text.replaceAll("$table", table);
      return (await own().query(named, values)).rows;
    },
    async close() {
      for (const store of stores.splice(0)) await store.close();
      for (const pool of pools.splice(0)) await pool.end();
      await dropTables(address, table);
    },
  };
  return made;
}

/** On a connection of its own: a test may have ended any of the pools. */
async function dropTables(address: Address, table: string): Promise<void> {
  const client = new pg.Client(address);
  client.on("error", () => {});
  await client.connect();
  try {
    const { rows: [row] } = await client.query("SELECT pg_is_in_recovery()");
    if (row.pg_is_in_recovery) return;
    await client.query(
      `DROP TABLE IF EXISTS ${table}, ${table}_former, ${table}_locks`,
    );
  } finally {
    await client.end();
  }
}
