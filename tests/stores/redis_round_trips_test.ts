import { assertEquals } from "@std/assert";
import { describe } from "@std/testing/bdd";
import { PACKAGES } from "../support/redis/clients.ts";
import { monitor, say } from "../support/redis/commands.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { storesOf } from "../support/redis/stores.ts";
import { granted, HOLD, newId, record } from "../support/stores/records.ts";
import { until } from "../support/wait.ts";

describe("RedisStore's round trips", () => {
  let server: RedisServer;
  withRedisServer((started) => server = started);

  for (const name of PACKAGES) {
    itNeedsRedis(
      `are two to acquire and commit, alone and in a crowd, with ${name}`,
      async () => {
        const stores = storesOf(name);
        const [a, b, sid] = [
          await stores.open(server.port),
          await stores.open(server.port),
          newId(),
        ];
        await a.write(sid, record(), null);
        const waiting = (many: number) =>
          until(async () => {
            const reply = await say(
              server.port,
              `LLEN ${stores.prefix}q:{${sid}}\r\n`,
            );
            return Number(reply.slice(1)) === many;
          }, `${many} who wait`);
        // both have waited once: scripts are known and channels open
        granted(await a.acquire(sid, "w1", HOLD, 0));
        const warm = b.acquire(sid, "w2", HOLD, HOLD);
        await waiting(1);
        const warmA = a.acquire(sid, "w3", HOLD, HOLD);
        await waiting(2);
        await a.commit(sid, "w1", record({ user: "ada" }));
        await warm;
        await b.commit(sid, "w2", record({ user: "ada" }));
        await warmA;
        await a.commit(sid, "w3", record({ user: "ada", data: "{}" }));

        const watch = await monitor(server.port);
        try {
          granted(await a.acquire(sid, "t1", HOLD, HOLD));
          await a.commit(sid, "t1", record({ user: "ada", data: '{"n":1}' }));
          assertEquals((await watch.commands()).map(verb), [
            "evalsha",
            "evalsha",
          ]);

          granted(await a.acquire(sid, "t2", HOLD, HOLD));
          const next = b.acquire(sid, "t3", HOLD, HOLD);
          await until(
            async () => (await watch.commands()).length === 4,
            "the second",
          );
          await a.commit(sid, "t2", record({ user: "ada", data: '{"n":2}' }));
          granted(await next);
          await b.commit(sid, "t3", record({ user: "ada", data: '{"n":3}' }));
          assertEquals(
            (await watch.commands()).map(verb),
            Array(6).fill("evalsha"),
          );
        } finally {
          watch.close();
          await stores.close();
        }
      },
    );
  }
});

const verb = (line: string) => /^"(\w+)"/.exec(line)![1]!.toLowerCase();
