import { RedisStore } from "@koa-io/session/redis";
import { afterAll, beforeAll, describe } from "@std/testing/bdd";
import {
  openClient,
  type OwnedClient,
  PACKAGES,
} from "../support/redis/clients.ts";
import {
  itNeedsRedis,
  type RedisServer,
  startRedis,
} from "../support/redis/server.ts";
import { redisServerPath } from "../support/requires.ts";
import { newId } from "../support/stores/records.ts";
import { sharedKit } from "../support/stores/shared_kit.ts";

describe("the conformance kit, on Redis", () => {
  for (const name of PACKAGES) {
    describe(`RedisStore on ${name}`, () => {
      const path = redisServerPath();
      let server: RedisServer;
      let clients: OwnedClient[];
      const prefix = newId();
      const open = (n: number) =>
        new RedisStore({ client: clients[n]!.client, prefix });

      beforeAll(async () => {
        if (!path) return;
        server = await startRedis();
        clients = [
          await openClient(name, server.port),
          await openClient(name, server.port),
        ];
      });
      afterAll(async () => {
        if (!path) return;
        for (const client of clients) client.close();
        await server.stop();
      });

      sharedKit(itNeedsRedis, open);
    });
  }
});
