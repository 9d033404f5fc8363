import {
  assert,
  assertEquals,
  assertFalse,
  assertLess,
  assertRejects,
} from "@std/assert";
import { afterEach, beforeEach, describe } from "@std/testing/bdd";
import process from "node:process";
import { inspect } from "node:util";
import { proxy } from "../support/ports.ts";
import { PACKAGES } from "../support/redis/clients.ts";
import { say } from "../support/redis/commands.ts";
import {
  itNeedsRedis,
  type RedisServer,
  startRedis,
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
import { settles, until } from "../support/wait.ts";

const path = redisServerPath();

// The large records come first: ioredis needs seconds to release its buffer.
describe("RedisStore under faults", () => {
  for (const name of PACKAGES) describe(`with ${name}`, () => faults(name));
});

function faults(name: typeof PACKAGES[number]) {
  let server: RedisServer;
  let stores: Stores;
  let sid: string;
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  beforeEach(async () => {
    [stores, sid] = [storesOf(name), newId()];
    unhandled.length = 0;
    process.on("unhandledRejection", note);
    if (path) server = await startRedis();
  });
  afterEach(async () => {
    await stores.close();
    if (path) await server.stop();
    process.off("unhandledRejection", note);
    assertEquals(unhandled, []);
  });

  const queued = (sid: string) =>
    until(async () => {
      const key = `${stores.prefix}q:{${sid}}`;
      return (await say(server.port, `LLEN ${key}\r\n`)).startsWith(":1");
    }, "a waiter");

  itNeedsRedis("1 MB of data is stored, and handed to a waiter", async () => {
    const [store, other] = [
      await stores.open(server.port),
      await stores.open(server.port),
    ];
    for (const size of [1_000_000, 1_200_000]) {
      const [sid, data] = [newId(), JSON.stringify("é".repeat(size / 2))];
      await store.write(sid, record(), null);
      await store.acquire(sid, "first", HOLD, 0);
      const next = other.acquire(sid, "second", HOLD, HOLD);
      await queued(sid);
      await store.commit(sid, "first", record({ data }));
      assert(granted(await next).data === data);
      const read = await store.read(sid);
      assert(read!.data === data);
      assertEquals(
        (await other.commit(sid, "second", undefined)).status,
        "done",
      );
    }
  });

  itNeedsRedis(
    "a session that begins while Redis runs out of memory leaves nothing behind",
    async () => {
      const store = await stores.open(server.port);
      await store.read(sid);
      const data = JSON.stringify("x".repeat(2_000_000));
      const of = record({ data, clientId: "client", user: "ada" });
      const info = await say(server.port, "INFO memory\r\n");
      const limit = Number(/used_memory:(\d+)/.exec(info)![1]) + 1_000_000;
      await say(server.port, `CONFIG SET maxmemory ${limit}\r\n`);
      await assertRejects(() => store.begin(sid, of), Error, "OOM");
      await say(server.port, "CONFIG SET maxmemory 0\r\n");
      assertEquals(await store.read(sid), undefined);
      assertEquals(await store.byUser("ada"), []);
      assertEquals(await store.byClient("client"), undefined);
    },
  );

  itNeedsRedis("scripts that Redis has flushed are sent again", async () => {
    const store = await stores.open(server.port);
    const version = await store.write(sid, record(), null);
    await say(server.port, "SCRIPT FLUSH\r\n");
    assert(await store.write(sid, record({ data: '{"n":1}' }), version!));
    await say(server.port, "SCRIPT FLUSH\r\n");
    granted(await store.acquire(sid, "t", HOLD, 0));
    await say(server.port, "SCRIPT FLUSH\r\n");
    assertEquals((await store.commit(sid, "t", undefined)).status, "done");
    assertEquals(count((await store.read(sid))!), 1);
  });

  itNeedsRedis("an error of Redis reaches the caller", async () => {
    const store = await stores.open(server.port);
    await say(server.port, `SET ${stores.prefix}s:{${sid}} text\r\n`);
    for (
      const call of [
        () => store.read(sid),
        () => store.write(sid, record(), null),
        () => store.extend(sid, Date.now()),
        () => store.destroy(sid),
        () => store.acquire(sid, "t", HOLD, HOLD),
        () => store.commit(sid, "t", record({ user: "ada" })),
        () => store.versions([sid]),
      ]
    ) {
      const error = await assertRejects(call, Error, "WRONGTYPE");
      assertFalse(inspect(error, { depth: 9 }).includes(sid), "the id is out");
    }
  });

  itNeedsRedis(
    "acquire rejects where the client may not subscribe, and leaves no waiter behind",
    async () => {
      const [store, other] = [
        await stores.open(server.port),
        await stores.open(server.port),
      ];
      await store.write(sid, record(), null);
      await say(server.port, "ACL SETUSER default resetchannels\r\n");
      granted(await store.acquire(sid, "t", HOLD, HOLD));
      await assertRejects(
        () => other.acquire(sid, "u", HOLD, 500),
        Error,
        "NOPERM",
      );
      assertEquals(
        (await store.commit(sid, "t", record({ data: '{"n":1}' }))).status,
        "done",
      );
      assertEquals(count(granted(await other.acquire(sid, "v", HOLD, 0))), 1);
    },
  );

  itNeedsRedis(
    "waits end while Redis is down, and leases work when it is back",
    async () => {
      const [store, other] = [
        await stores.open(server.port),
        await stores.open(server.port),
      ];
      await store.write(sid, record(), null);
      granted(await store.acquire(sid, "t", HOLD, HOLD));
      const wait = other.acquire(sid, "u", 300, 300);
      const ended = wait.then(() => "answered", () => "refused");
      await queued(sid);
      await server.stop();
      await settles(ended, "the wait", 300 + HOLD + 2_000);
      await server.start();
      await until(async () => !(await other.read(newId())), "the client");
      assertEquals(await other.read(sid), undefined);
      await store.write(sid, record(), null);
      granted(await store.acquire(sid, "v", HOLD, HOLD));
      const next = other.acquire(sid, "w", HOLD, HOLD);
      await queued(sid);
      await store.commit(sid, "v", record({ data: '{"n":5}' }));
      assertEquals(
        count(granted(await settles(next, "the hand-over", 3_000))),
        5,
      );
    },
  );

  itNeedsRedis(
    "acquire rejects when Redis does not answer, and a late lease is released",
    async () => {
      const [store, other] = [
        await stores.open(server.port),
        await stores.open(server.port),
      ];
      await store.write(sid, record(), null);
      server.signal("SIGSTOP");
      try {
        await assertRejects(
          () => store.acquire(sid, "t", 60_000, 50),
          Error,
          "does not answer",
        );
      } finally {
        server.signal("SIGCONT");
      }
      granted(await other.acquire(sid, "u", HOLD, 1_000));
    },
  );

  itNeedsRedis(
    "a waiter whose connections were cut is granted the lease after they reconnected",
    async () => {
      const link = await proxy(server.port);
      try {
        const [store, other] = [
          await stores.open(server.port),
          await stores.open(link.port),
        ];
        await store.write(sid, record(), null);
        granted(await store.acquire(sid, "t", HOLD, HOLD));
        const wait = other.acquire(sid, "u", HOLD, HOLD);
        await queued(sid);
        // replies come in order: by now `acquire` has the reply that it waits
        await other.read(sid);
        link.cut();
        const begin = performance.now();
        await store.commit(sid, "t", record({ data: '{"n":3}' }));
        link.mend();
        assertEquals(count(granted(await wait)), 3);
        assertLess(performance.now() - begin, 3_000);
      } finally {
        await stores.close();
        await link.close();
      }
    },
  );
}
