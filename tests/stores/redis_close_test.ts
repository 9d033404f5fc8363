/** The end of a RedisStore leaves nothing that keeps a process running, at whatever moment it comes. */
import { assertEquals } from "@std/assert";
import { afterEach, beforeEach, describe } from "@std/testing/bdd";
import { setImmediate } from "node:timers";
import { PACKAGES } from "../support/redis/clients.ts";
import { connections, say } from "../support/redis/commands.ts";
import {
  itNeedsRedis,
  type RedisServer,
  startRedis,
} from "../support/redis/server.ts";
import { type Stores, storesOf } from "../support/redis/stores.ts";
import { redisServerPath } from "../support/requires.ts";
import { HOLD, newId, record } from "../support/stores/records.ts";
import { pause, settles, until } from "../support/wait.ts";

/** How far a connection may be that is opened at the first wait for a lease. */
const MOMENTS: Readonly<Record<string, () => unknown>> = {
  "at once": () => undefined,
  "a microtask later": () => Promise.resolve(),
  "a turn of the event loop later": () =>
    new Promise((resolve) => setImmediate(resolve)),
  "1 ms later": () => pause(1),
  "3 ms later": () => pause(3),
  "50 ms later": () => pause(50),
};

describe("RedisStore, closed while it opens its second connection", () => {
  for (const name of PACKAGES) describe(`with ${name}`, () => closes(name));
});

function closes(name: typeof PACKAGES[number]) {
  let server: RedisServer;
  let stores: Stores;
  beforeEach(async () => {
    stores = storesOf(name);
    if (redisServerPath()) server = await startRedis();
  });
  afterEach(async () => {
    await stores.close();
    if (redisServerPath()) await server.stop();
    // the timers of ioredis end after its sockets, without an event
    await pause(100);
  });

  const isOne = async () => await connections(server.port) === 1;

  for (const [moment, wait] of Object.entries(MOMENTS)) {
    itNeedsRedis(`leaves the client alone, ${moment}`, async () => {
      const [store, sid] = [await stores.open(server.port), newId()];
      await store.write(sid, record(), null);
      const acquiring = store.acquire(sid, "t", HOLD, HOLD).catch(() => {});
      await wait();
      await settles(store.close(), "the end of the store");
      await acquiring;
      // accepted after every connection that the store was opening
      await say(server.port, "PING\r\n");
      await until(isOne, "one connection");
    });

    itNeedsRedis(
      `does not connect when Redis is back, ${moment}`,
      async () => {
        const [store, sid] = [await stores.open(server.port), newId()];
        await store.write(sid, record(), null);
        await server.stop();
        const acquiring = store.acquire(sid, "t", HOLD, HOLD).catch(() => {});
        await wait();
        await settles(store.close(), "the end of the store");
        await acquiring;
        await server.start();
        await until(isOne, "the client");
        // several times as long as the clients wait between two attempts
        await pause(200);
        assertEquals(await connections(server.port), 1);
      },
    );

    itNeedsRedis(`ends beside a frozen Redis, ${moment}`, async () => {
      const [store, sid] = [await stores.open(server.port), newId()];
      await store.write(sid, record(), null);
      server.signal("SIGSTOP");
      const acquiring = store.acquire(sid, "t", HOLD, HOLD).catch(() => {});
      await wait();
      try {
        await settles(store.close(), "the end of the store");
      } finally {
        server.signal("SIGCONT");
      }
      await acquiring;
      await until(isOne, "one connection");
    });
  }
}
