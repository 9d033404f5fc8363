/** A node whose store and messenger are in PostgreSQL. */
import { PostgresStore } from "@koa-io/session/postgres";
// @ts-types="@types/pg"
import pg from "pg";
import type { AdapterFactory } from "../cluster/messengers.ts";
import type { PostgresConfig } from "../cluster/processes.ts";
import { messengerPool, postgresAdapter } from "./messenger.ts";

/** Opens both. The store's pool has no listener to errors but the store's. */
export async function connectPostgres(
  { address, table, pool }: PostgresConfig,
  channel: string,
): Promise<{ store: PostgresStore; adapter: AdapterFactory }> {
  const store = new PostgresStore({
    pool: new pg.Pool({ ...address, max: 5, ...pool }),
    table,
  });
  await store.migrate();
  const adapter = await postgresAdapter(messengerPool(address), channel);
  return { store, adapter };
}
