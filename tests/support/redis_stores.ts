/** Redis stores on clients of their own, for the tests of one file. */
import type { SessionRecord } from "@koa-io/session";
import { RedisStore } from "@koa-io/session/redis";
import { randomUUID } from "node:crypto";
import { openClient, type OwnedClient, type PACKAGES } from "./redis.ts";

/** The life of a record of these tests, in ms. */
export const HOUR = 3_600_000;

/** A record with whatever matters to a test. */
export function record(over: Partial<SessionRecord> = {}): SessionRecord {
  return {
    data: '{"n":0}',
    maxAge: HOUR,
    expires: Date.now() + HOUR,
    absoluteEnd: undefined,
    cookie: undefined,
    clientId: undefined,
    settled: false,
    user: undefined,
    ...over,
  };
}

/** What the tests of this store count in a record. */
export function count({ data }: { readonly data: string }): number {
  return (JSON.parse(data) as { n: number }).n;
}

/** An id that no other test has. */
export function newId(what = "sid"): string {
  return `${what}-${randomUUID()}`;
}

/** Stores as different processes have them: each on a client of its own. */
export interface Stores {
  /** Another store on the same keys. */
  open(port: number): Promise<RedisStore>;
  /** The prefix of their keys. */
  readonly prefix: string;
  /** Closes them all. */
  close(): Promise<void>;
}

/** Makes {@linkcode Stores} on clients of one package. */
export function storesOf(name: typeof PACKAGES[number]): Stores {
  const prefix = `${newId("test")}:`;
  const clients: OwnedClient[] = [];
  const stores: RedisStore[] = [];
  return {
    prefix,
    async open(port) {
      const owned = await openClient(name, port);
      clients.push(owned);
      const store = new RedisStore({ client: owned.client, prefix });
      stores.push(store);
      return store;
    },
    async close() {
      for (const store of stores.splice(0)) await store.close();
      for (const owned of clients.splice(0)) await owned.close();
    },
  };
}
