import type { RedisStore } from "@koa-io/session/redis";
import { assert, assertEquals, assertLess } from "@std/assert";
import { afterEach, beforeEach, describe } from "@std/testing/bdd";
import { connect } from "node:net";
import { PACKAGES } from "../support/redis/clients.ts";
import { say } from "../support/redis/commands.ts";
import { type Intercepted, intercepted } from "../support/redis/intercepted.ts";
import { repeating } from "../support/redis/repeating.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { type Stores, storesOf } from "../support/redis/stores.ts";
import { redisServerPath } from "../support/requires.ts";
import {
  count,
  granted,
  HOLD,
  newId,
  record,
} from "../support/stores/records.ts";
import { pause, settles, until } from "../support/wait.ts";

const path = redisServerPath();

let server: RedisServer;

describe("RedisStore's grants", () => {
  withRedisServer((started) => server = started);
  for (const name of PACKAGES) describe(`with ${name}`, () => grants(name));
});

function grants(name: typeof PACKAGES[number]) {
  let stores: Stores;
  let a: RedisStore;
  let b: Intercepted;
  let sid: string;
  beforeEach(async () => {
    stores = storesOf(name);
    if (!path) return;
    a = await stores.open(server.port);
    b = await intercepted(name, server.port, stores.prefix);
    sid = newId();
    await a.write(sid, record(), null);
  });
  afterEach(async () => {
    await b?.close();
    await stores.close();
  });

  const queued = (many: number) =>
    until(async () => {
      const key = `${stores.prefix}q:{${sid}}`;
      return await say(server.port, `LLEN ${key}\r\n`) === `:${many}\r\n`;
    }, `${many} who wait`);

  itNeedsRedis(
    "a message that arrives after its waiter asked again cannot be committed",
    async () => {
      granted(await a.acquire(sid, "t", 800, 0));
      b.holdsMessages = true;
      const waiting = b.store.acquire(sid, "u", 30, HOLD);
      await queued(1);
      await a.commit(sid, "t", record({ data: '{"n":1}' }));
      await until(() => b.messages.length === 1, "the message");
      // its lease runs out, and another caller writes
      await pause(40);
      const { version } = (await a.read(sid))!;
      assert(await a.write(sid, record({ data: '{"n":2}' }), version));
      b.onRun = (run) => {
        const answer = run();
        for (const deliver of b.messages.splice(0)) deliver();
        return answer;
      };
      const got = granted(await settles(waiting, "the waiter", 2_000));
      const next = record({ data: `{"n":${count(got) + 1}}` });
      const { status } = await b.store.commit(sid, "u", next);
      const { data } = (await a.read(sid))!;
      assertEquals([status, data], ["done", '{"n":3}']);
    },
  );

  itNeedsRedis(
    "a request that is sent again after its lease was used up grants nothing",
    async () => {
      granted(await a.acquire(sid, "t", HOLD, 0));
      let again = () => {};
      // its channel, without which it is not queued
      await settles(b.store.acquire(newId(), "x", HOLD, 0), "a lease");
      await pause(50);
      b.onRun = async (run) => {
        b.onRun = (run) => run();
        await run();
        await new Promise<void>((resolve) => again = resolve);
        return await run();
      };
      const waiting = b.store.acquire(sid, "u", HOLD, HOLD);
      await queued(1);
      await a.commit(sid, "t", undefined);
      granted(await settles(waiting, "the waiter", 3_000));
      assertEquals((await b.store.commit(sid, "u", undefined)).status, "done");
      again();
      await pause(50);
      granted(await a.acquire(sid, "v", HOLD, 0));
    },
  );

  itNeedsRedis(
    "a destroy and a release that are sent again are done once",
    async () => {
      const twice = await repeating(name, server.port, stores.prefix);
      try {
        granted(await twice.store.acquire(sid, "t", HOLD, 0));
        const released = await twice.store.commit(sid, "t", undefined);
        assertEquals(released.status, "done");
        granted(await a.acquire(sid, "u", HOLD, 0));
        await a.commit(sid, "u", undefined);
        assertEquals(await twice.store.destroy(sid), true);
        assertEquals(await a.former(sid), undefined);
        assertEquals(await a.destroy(sid), false);
        await a.write(sid, record(), null);
        assertEquals(await twice.store.destroy(sid, "why"), true);
        assertEquals((await a.former(sid))!.note, "why");
        assertEquals(await twice.store.destroy(sid, "why"), false);
      } finally {
        await twice.close();
      }
    },
  );

  itNeedsRedis(
    "a waiter that gives up does not make Redis read the whole queue",
    async () => {
      granted(await a.acquire(sid, "t", HOLD, 0));
      const first = b.store.acquire(sid, "first", HOLD, HOLD);
      await queued(1);
      await say(server.port, "CONFIG RESETSTAT\r\n");
      await Promise.all(Array.from({ length: 50 }, async (_, i) => {
        const waited = await a.acquire(sid, `t${i}`, HOLD, 200);
        assertEquals(waited.status, "timeout");
      }));
      const key = `${stores.prefix}e:{${sid}}`;
      await until(
        async () => await say(server.port, `HLEN ${key}\r\n`) === ":1\r\n",
        "all but the first have left",
      );
      const stats = await say(server.port, "INFO commandstats\r\n");
      assert(!/cmdstat_(lrange|lrem|lpos|hgetall|hkeys)/.test(stats), stats);
      await a.commit(sid, "t", undefined);
      granted(await first);
    },
  );

  itNeedsRedis(
    "a frozen process with several waiters blocks others for one hold",
    async () => {
      granted(await a.acquire(sid, "t", 400, 0));
      const frozen = connect(server.port, "127.0.0.1");
      try {
        frozen.write(`SUBSCRIBE ${stores.prefix}n:frozen\r\n`);
        await until(
          async () =>
            (await say(server.port, "PUBSUB CHANNELS\r\n")).includes("frozen"),
          "the channel",
        );
        const key = (kind: string) => `${stores.prefix}${kind}:{${sid}}`;
        for (const waiter of ["w1", "w2", "w3"]) {
          const entry = `${Date.now() + HOLD} 1500 frozen ${waiter}`;
          await say(server.port, `HSET ${key("e")} ${waiter} "${entry}"\r\n`);
          await say(server.port, `RPUSH ${key("q")} ${waiter}\r\n`);
        }
        const waiting = b.store.acquire(sid, "u", HOLD, HOLD);
        await queued(4);
        const from = performance.now();
        await a.commit(sid, "t", undefined);
        granted(await settles(waiting, "the waiter", HOLD));
        await b.store.commit(sid, "u", undefined);
        assertLess(performance.now() - from, 3_000);
        granted(await a.acquire(sid, "v", HOLD, 0));
      } finally {
        frozen.destroy();
      }
    },
  );
}
