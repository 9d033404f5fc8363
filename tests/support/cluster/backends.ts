/** What the nodes of a test share: a store and a messenger, in Redis or in PostgreSQL. */
import type { SharedStore } from "@koa-io/session";
import type { PostgresStore } from "@koa-io/session/postgres";
import { RedisStore } from "@koa-io/session/redis";
// @ts-types="@types/pg"
import type pg from "pg";
import type { Address } from "../postgres/cluster.ts";
import { messengerPool, postgresAdapter } from "../postgres/messenger.ts";
import { storesAt } from "../postgres/stores.ts";
import { until } from "../wait.ts";
import {
  type AdapterFactory,
  adapterOf,
  connectClient,
  type Messenger,
  newKeys,
  type RedisConnection,
} from "./messengers.ts";

/** Where one node keeps its sessions, and how it reaches others. */
export interface Equipment {
  readonly store: SharedStore;
  readonly adapter: AdapterFactory;
}

/** Equips nodes, each on connections of its own. */
export interface Backend {
  /** What the names of the store's keys begin with. */
  readonly prefix: string;
  /** What the names of the messenger's channels and keys begin with. */
  readonly channel: string;
  equip(): Promise<Equipment>;
  /** After the nodes have been closed. */
  close(): Promise<void>;
}

/** Nodes on the Redis at this port. */
export function redisBackend(port: number, messenger: Messenger): Backend {
  const { prefix, channel } = newKeys();
  const clients: RedisConnection[] = [];
  const made: RedisConnection[] = [];
  const stores: RedisStore[] = [];
  return {
    prefix,
    channel,
    async equip() {
      const client = await connectClient(port, made);
      clients.push(client);
      const store = new RedisStore({ client, prefix });
      stores.push(store);
      return { store, adapter: await adapterOf(messenger, client, channel) };
    },
    async close() {
      for (const store of stores) await store.close();
      // the streams adapter closes its connections at its next read
      await until(
        () =>
          messenger !== "redis-streams" || made.every(({ isOpen }) => !isOpen),
        "the messenger's connections closed",
      );
      for (const client of [...made, ...clients]) {
        if (client.isOpen) await client.quit();
      }
    },
  };
}

/** Nodes on one PostgreSQL, as store and messenger. */
export function postgresBackend(address: Address): Backend {
  const { prefix, channel } = newKeys();
  const stores = storesAt(address);
  const pools: pg.Pool[] = [];
  return {
    prefix,
    channel,
    async equip() {
      const store: PostgresStore = await stores.open();
      const pool = messengerPool(address);
      pools.push(pool);
      return { store, adapter: await postgresAdapter(pool, channel) };
    },
    async close() {
      await stores.close();
      await Promise.all(pools.map((pool) => pool.end()));
    },
  };
}
