import type { RedisStore } from "@koa-io/session/redis";
import {
  assert,
  assertEquals,
  assertGreaterOrEqual,
  assertLess,
  assertRejects,
} from "@std/assert";
import { afterEach, beforeEach, describe } from "@std/testing/bdd";
import { proxy } from "../support/ports.ts";
import { PACKAGES } from "../support/redis/clients.ts";
import { say } from "../support/redis/commands.ts";
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

describe("RedisStore's leases", () => {
  withRedisServer((started) => server = started);
  for (const name of PACKAGES) describe(`with ${name}`, () => leases(name));
});

function leases(name: typeof PACKAGES[number]) {
  let stores: Stores;
  let a: RedisStore;
  let b: RedisStore;
  let sid: string;
  beforeEach(async () => {
    stores = storesOf(name);
    if (!path) return;
    [a, b, sid] = [
      await stores.open(server.port),
      await stores.open(server.port),
      newId(),
    ];
    await a.write(sid, record(), null);
  });
  afterEach(() => stores.close());

  const waiting = (many: number) =>
    until(async () => {
      const reply = await say(
        server.port,
        `LLEN ${stores.prefix}q:{${sid}}\r\n`,
      );
      return Number(reply.slice(1)) === many;
    }, `${many} who wait`);

  itNeedsRedis("acquire returns the record, commit writes it", async () => {
    const read = await a.read(sid);
    assertEquals(await a.acquire(sid, "t", HOLD, 0), {
      status: "granted",
      record: read!,
    });
    const next = record({ data: '{"n":1}' });
    const committed = await a.commit(sid, "t", next);
    assert(committed.status === "done");
    assertEquals(await b.read(sid), { ...next, version: committed.version });
    assertEquals(await b.acquire(newId(), "t", HOLD, 100), {
      status: "missing",
      waited: false,
    });
  });

  itNeedsRedis(
    "commit without a record releases the lease and keeps the version",
    async () => {
      const { version } = granted(await a.acquire(sid, "t", HOLD, 0));
      assertEquals(await a.commit(sid, "t", undefined), {
        status: "done",
        version,
      });
      assertEquals((await b.acquire(sid, "u", HOLD, 0)).status, "granted");
    },
  );

  itNeedsRedis("acquire without time to wait is refused at once", async () => {
    await a.acquire(sid, "t", HOLD, 0);
    assertEquals(await b.acquire(sid, "u", HOLD, 0), { status: "timeout" });
  });

  itNeedsRedis(
    "a waiter is woken by the commit and given what was written",
    async () => {
      await a.acquire(sid, "t", HOLD, 0);
      const next = b.acquire(sid, "u", HOLD, HOLD);
      await waiting(1);
      const done = await a.commit(sid, "t", record({ data: '{"n":7}' }));
      const got = granted(await settles(next, "the waiter", 3_000));
      assertEquals(count(got), 7);
      assertEquals(got.version, done.status === "done" && done.version);
      assertEquals((await a.acquire(sid, "v", HOLD, 0)).status, "timeout");
    },
  );

  itNeedsRedis(
    "waiters are served in order of their calls, over all stores",
    async () => {
      await a.acquire(sid, "first", HOLD, 0);
      const order: number[] = [];
      const all: Promise<void>[] = [];
      for (let i = 0; i < 8; i++) {
        const store = i % 2 ? a : b;
        all.push(
          store.acquire(sid, `t${i}`, HOLD, HOLD).then(async (acquired) => {
            granted(acquired);
            order.push(i);
            await store.commit(sid, `t${i}`, undefined);
          }),
        );
        await waiting(i + 1);
      }
      await a.commit(sid, "first", undefined);
      await Promise.all(all);
      assertEquals(order, [0, 1, 2, 3, 4, 5, 6, 7]);
    },
  );

  itNeedsRedis("300 increments from three stores are all counted", async () => {
    const three = [a, b, await stores.open(server.port)];
    await Promise.all(Array.from({ length: 300 }, async (_, i) => {
      const store = three[i % 3]!;
      const got = granted(await store.acquire(sid, `t${i}`, HOLD, 30_000));
      const done = await store.commit(
        sid,
        `t${i}`,
        record({ data: `{"n":${count(got) + 1}}` }),
      );
      assertEquals(done.status, "done");
    }));
    assertEquals(count((await a.read(sid))!), 300);
  });

  itNeedsRedis(
    "write is refused while the session is held",
    async () => {
      const { version } = granted(await a.acquire(sid, "t", HOLD, 0));
      assertEquals(await b.write(sid, record(), version), undefined);
      await a.commit(sid, "t", undefined);
      assert(await b.write(sid, record(), version));
    },
  );

  itNeedsRedis(
    "an overdue hold counts until the session is granted again",
    async () => {
      granted(await a.acquire(sid, "t", 20, 0));
      await pause(40);
      const done = await a.commit(sid, "t", record({ data: '{"n":1}' }));
      assertEquals([done.status, count((await b.read(sid))!)], ["done", 1]);
    },
  );

  itNeedsRedis(
    "an overdue hold is lost when the session was granted again, although it was released",
    async () => {
      granted(await a.acquire(sid, "t", 20, 0));
      await pause(40);
      granted(await b.acquire(sid, "u", HOLD, 0));
      assertEquals(await a.commit(sid, "t", record({ data: '{"n":9}' })), {
        status: "lost",
      });
      assertEquals(
        (await b.commit(sid, "u", record({ data: '{"n":1}' }))).status,
        "done",
      );
      assertEquals(await a.commit(sid, "t", record({ data: '{"n":9}' })), {
        status: "lost",
      });
      assertEquals(count((await b.read(sid))!), 1);
    },
  );

  itNeedsRedis("an overdue hold is lost after another write", async () => {
    const { version } = granted(await a.acquire(sid, "t", 20, 0));
    await pause(40);
    assert(await b.write(sid, record({ data: '{"n":1}' }), version));
    assertEquals(await a.commit(sid, "t", record({ data: '{"n":9}' })), {
      status: "lost",
    });
    assertEquals(count((await b.read(sid))!), 1);
  });

  itNeedsRedis(
    "a dead holder blocks for the rest of its lease, and the order of waiters is kept",
    async () => {
      granted(await a.acquire(sid, "dead", 150, 0));
      const order: string[] = [];
      const begin = performance.now();
      const turn = async (store: RedisStore, token: string) => {
        granted(await store.acquire(sid, token, HOLD, HOLD));
        order.push(token);
        await store.commit(sid, token, undefined);
      };
      const first = turn(b, "first");
      await waiting(1);
      const second = turn(a, "second");
      await Promise.all([first, second]);
      assertGreaterOrEqual(performance.now() - begin, 100);
      assertLess(performance.now() - begin, 3_000);
      assertEquals(order, ["first", "second"]);
    },
  );

  itNeedsRedis("a dead waiter is skipped", async () => {
    const link = await proxy(server.port);
    try {
      const dead = await stores.open(link.port);
      granted(await a.acquire(sid, "t", HOLD, 0));
      const lost = dead.acquire(sid, "dead", HOLD, HOLD);
      const rejected = assertRejects(() => lost);
      await waiting(1);
      const next = b.acquire(sid, "u", HOLD, HOLD);
      await waiting(2);
      link.cut();
      await listeners(2);
      await a.commit(sid, "t", undefined);
      granted(await settles(next, "the living", 3_000));
      link.mend();
      await listeners(3);
      await dead.close();
      await rejected;
    } finally {
      await stores.close();
      await link.close();
    }
  });

  itNeedsRedis("a waiter that gives up leaves the queue", async () => {
    granted(await a.acquire(sid, "t", HOLD, 0));
    assertEquals(await b.acquire(sid, "u", HOLD, 30), { status: "timeout" });
    await waiting(0);
    await a.commit(sid, "t", undefined);
    granted(await a.acquire(sid, "v", HOLD, 0));
  });

  itNeedsRedis(
    "a lease that is granted after its caller gave up is released at once",
    async () => {
      granted(await a.acquire(sid, "t", HOLD, 0));
      // as a waiter of this process would be left there that could not be removed
      await until(async () => (await channels()).includes("n:"), "the channel");
      const node = /n:(\S+)/.exec(await channels())![1]!;
      const entry = `${Date.now() + HOLD} ${HOLD} ${node} ghost`;
      const key = (kind: string) => `${stores.prefix}${kind}:{${sid}}`;
      await say(server.port, `HSET ${key("e")} ghost "${entry}"\r\n`);
      await say(server.port, `RPUSH ${key("q")} ghost\r\n`);
      await a.commit(sid, "t", undefined);
      granted(await b.acquire(sid, "u", HOLD, 1_000));
    },
  );

  itNeedsRedis(
    "destroy acts at once: the holder cannot write, the waiters find it missing",
    async () => {
      granted(await a.acquire(sid, "t", HOLD, 0));
      const waits = [
        b.acquire(sid, "u", HOLD, HOLD),
        a.acquire(sid, "v", HOLD, HOLD),
      ];
      await waiting(2);
      assert(await b.destroy(sid, "why"));
      for (const wait of waits) {
        assertEquals(await settles(wait, "the waiter", 3_000), {
          status: "missing",
          waited: true,
        });
      }
      assertEquals((await a.former(sid))!.note, "why");
      assertEquals(await a.commit(sid, "t", record()), { status: "missing" });
      assertEquals(await b.read(sid), undefined);
    },
  );

  itNeedsRedis(
    "a session that expires under its holder is not written",
    async () => {
      const brief = newId();
      await a.write(brief, record({ expires: Date.now() + 60 }), null);
      granted(await a.acquire(brief, "t", HOLD, 0));
      const next = b.acquire(brief, "u", HOLD, HOLD);
      await pause(80);
      assertEquals(await a.commit(brief, "t", record()), { status: "missing" });
      assertEquals(await settles(next, "the waiter", 3_000), {
        status: "missing",
        waited: true,
      });
    },
  );

  itNeedsRedis("extend works on a session that is held", async () => {
    const { expires, version } = granted(await a.acquire(sid, "t", HOLD, 0));
    assert(await b.extend(sid, expires + 5));
    assertEquals((await a.read(sid))!.expires, expires + 5);
    assertEquals(await a.commit(sid, "t", undefined), {
      status: "done",
      version,
    });
  });

  itNeedsRedis(
    "close rejects waiters, leaves the client open, and can be repeated",
    async () => {
      granted(await a.acquire(sid, "t", HOLD, 0));
      const refused = assertRejects(
        () => b.acquire(sid, "u", HOLD, HOLD),
        Error,
        "closed",
      );
      await waiting(1);
      await b.close();
      await b[Symbol.asyncDispose]();
      await refused;
      await waiting(0);
      await assertRejects(() => b.acquire(sid, "w", HOLD, 0), Error, "closed");
      assert(await b.read(sid), "the client is the caller's");
    },
  );

  const channels = () =>
    say(server.port, `PUBSUB CHANNELS ${stores.prefix}n:*\r\n`);

  const listeners = (many: number) =>
    until(
      async () => (await channels()).split("n:").length === many + 1,
      `${many} channels`,
    );
}
