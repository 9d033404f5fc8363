/** RedisStores, each on a client of its own, with a common prefix. */
import { RedisStore } from "@koa-io/session/redis";
import { newId } from "../stores/records.ts";
import { openClient, type OwnedClient, type PACKAGES } from "./clients.ts";

/** Stores as separate processes have them: each on a client of its own. */
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
