/** The conformance kit on Redis. */
import type { SharedStore } from "@koa-io/session";
import type { RedisClient } from "@koa-io/session/redis";
import { afterAll, beforeAll, describe } from "@std/testing/bdd";
import { sharedKit } from "../stores/shared_kit.ts";
import { newId } from "../stores/records.ts";
import { openClient, type OwnedClient, type PACKAGES } from "./clients.ts";
import { itNeedsRedis, withRedisServer } from "./server.ts";

/** Declares the tests of a store on one of two clients of a package. */
export function redisKit(
  name: string,
  from: typeof PACKAGES[number],
  open: (client: RedisClient, prefix: string) => SharedStore,
): void {
  describe(name, () => {
    const prefix = newId();
    let port: number | undefined;
    let clients: OwnedClient[] = [];
    // before the server is stopped
    afterAll(async () => {
      for (const client of clients) await client.close();
    });
    withRedisServer((server) => port = server.port);
    beforeAll(async () => {
      if (port === undefined) return;
      clients = [await openClient(from, port), await openClient(from, port)];
    });
    sharedKit(itNeedsRedis, (n) => open(clients[n]!.client, prefix));
  });
}
