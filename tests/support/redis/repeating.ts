/** A RedisStore whose client sends each script twice, as clients do after a connection was cut. */
import { type RedisClient, RedisStore } from "@koa-io/session/redis";
import { openClient, type PACKAGES } from "./clients.ts";

/** Opens it; the answer to the second sending is the one that the store is given. */
export async function repeating(
  name: typeof PACKAGES[number],
  port: number,
  prefix: string,
): Promise<{ store: RedisStore; close(): Promise<void> }> {
  const owned = await openClient(name, port);
  const method = name === "ioredis" ? "evalsha" : "evalSha";
  const client = new Proxy(owned.client, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      if (key !== method) return value.bind(target);
      return async (...args: unknown[]) => {
        await value.apply(target, args);
        return await value.apply(target, args);
      };
    },
  });
  const store = new RedisStore({ client: client as RedisClient, prefix });
  return {
    store,
    async close() {
      await store.close();
      await owned.close();
    },
  };
}
