import { RedisStore } from "@koa-io/session/redis";
import { describe } from "@std/testing/bdd";
import { PACKAGES } from "../support/redis/clients.ts";
import { redisKit } from "../support/redis/kit.ts";

describe("the conformance kit, on Redis", () => {
  for (const name of PACKAGES) {
    redisKit(
      `RedisStore on ${name}`,
      name,
      (client, prefix) => new RedisStore({ client, prefix }),
    );
  }
});
