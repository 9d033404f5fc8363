/** Clients of both packages that RedisStore supports. */
import type { RedisClient } from "@koa-io/session/redis";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { once } from "../wait.ts";

/** A client that its test closes. */
export interface OwnedClient {
  readonly client: RedisClient;
  close(): Promise<void>;
}

/** The packages that a {@linkcode RedisClient} may come from. */
export const PACKAGES = ["redis", "ioredis"] as const;

/** Connects a client of one of them. Both reconnect quickly when Redis is back, and ioredis does not wait for one that is frozen. */
export async function openClient(
  name: typeof PACKAGES[number],
  port: number,
): Promise<OwnedClient> {
  if (name === "ioredis") {
    const client = new Redis(port, "127.0.0.1", {
      retryStrategy: () => 50,
      disconnectTimeout: 50,
    });
    client.on("error", () => {});
    await once(client, "ready");
    return {
      client,
      async close() {
        const ended = client.status === "ready" && once(client, "end");
        client.disconnect();
        await ended;
      },
    };
  }
  const client = createClient({
    url: `redis://127.0.0.1:${port}`,
    socket: { reconnectStrategy: () => 50 },
  });
  client.on("error", () => {});
  await client.connect();
  return { client, close: () => disconnect(client) };
}

/** Ends the connections of a client of the package redis, whose version 4 names the method otherwise. */
export async function disconnect(client: {
  destroy?(): void;
  disconnect(): unknown;
}): Promise<void> {
  if (client.destroy) client.destroy();
  else await client.disconnect();
}
