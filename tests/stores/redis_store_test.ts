import { RedisStore } from "@koa-io/session/redis";
import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertLess,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { createHash } from "node:crypto";
import { PACKAGES } from "../support/redis/clients.ts";
import { say } from "../support/redis/commands.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { type Stores, storesOf } from "../support/redis/stores.ts";
import { redisServerPath } from "../support/requires.ts";
import { count, HOUR, newId, record } from "../support/stores/records.ts";
import { until } from "../support/wait.ts";

const path = redisServerPath();

let server: RedisServer;

describe("RedisStore", () => {
  withRedisServer((started) => server = started);
  for (const name of PACKAGES) describe(`with ${name}`, () => records(name));
  describe("options", options);
});

function records(name: typeof PACKAGES[number]) {
  let stores: Stores;
  let store: RedisStore;
  beforeEach(async () => {
    stores = storesOf(name);
    if (path) store = await stores.open(server.port);
  });
  afterEach(() => stores.close());

  itNeedsRedis(
    "write with null creates only where there is no session",
    async () => {
      const sid = newId();
      const version = await store.write(sid, record(), null);
      assert(version !== undefined);
      assertEquals(
        await store.write(sid, record({ data: '{"n":9}' }), null),
        undefined,
      );
      assertEquals(count((await store.read(sid))!), 0);
    },
  );

  itNeedsRedis("read gives back every field as it was written", async () => {
    const odd = record({
      data: JSON.stringify({
        text: "žluť 😀 \u2028 \ud800 \n\0 {}",
        deep: [{ a: null }],
      }),
      absoluteEnd: Date.now() + 2 * HOUR + 0.5,
      cookie: "session",
      clientId: "client \n 😀",
      settled: true,
      user: "user:{x}",
    });
    const other = record({ cookie: Date.now(), maxAge: 1500.25 });
    for (const written of [odd, other]) {
      const sid = newId("{}odd} id\n😀%");
      const version = await store.write(sid, written, null);
      assertEquals(await store.read(sid), { ...written, version: version! });
    }
    assertEquals(await store.read(newId()), undefined);
  });

  itNeedsRedis("write needs the current version", async () => {
    const sid = newId();
    const first = await store.write(sid, record(), null);
    const second = await store.write(sid, record({ data: '{"n":1}' }), first!);
    assertNotEquals(second, first);
    assertEquals(
      await store.write(sid, record({ data: '{"n":2}' }), first!),
      undefined,
    );
    assertEquals(count((await store.read(sid))!), 1);
  });

  itNeedsRedis(
    "write never brings a destroyed session back, nor a version",
    async () => {
      const sid = newId();
      const first = await store.write(sid, record(), null);
      assert(await store.destroy(sid));
      assertFalse(await store.destroy(sid));
      assertEquals(await store.write(sid, record(), first!), undefined);
      assertEquals(await store.read(sid), undefined);
      const again = await store.write(sid, record(), null);
      assertNotEquals(again, first);
      assertEquals(await store.write(sid, record(), first!), undefined);
    },
  );

  itNeedsRedis("write accepts one of many at once", async () => {
    const sid = newId();
    const other = await stores.open(server.port);
    const first = await store.write(sid, record(), null);
    const writes = Array.from(
      { length: 50 },
      (_, i) =>
        (i % 2 ? store : other).write(
          sid,
          record({ data: `{"n":${i}}` }),
          first!,
        ),
    );
    const won = (await Promise.all(writes)).filter((version) =>
      version !== undefined
    );
    assertEquals(won.length, 1);
    assertEquals((await store.read(sid))!.version, won[0]);
  });

  itNeedsRedis(
    "an expired session is read, and every write to it is refused",
    async () => {
      const sid = newId();
      const version = await store.write(
        sid,
        record({ expires: Date.now() + 30 }),
        null,
      );
      await until(async () => !(await store.extend(sid, 0)), "the end");
      assertEquals((await store.read(sid))!.version, version);
      assertFalse(await store.extend(sid, Date.now() + HOUR));
      assertEquals(await store.write(sid, record(), version!), undefined);
      assertEquals(await store.acquire(sid, newId(), HOUR, 0), {
        status: "missing",
        waited: false,
      });
      assertEquals(await store.versions([sid]), [undefined]);
      assertFalse(await store.destroy(sid));
      assert(
        await store.write(sid, record(), null),
        "the id can be used again",
      );
    },
  );

  itNeedsRedis("a record leaves Redis 10 s after its end", async () => {
    const sid = newId();
    await store.write(sid, record({ expires: Date.now() + HOUR }), null);
    const ttl = async () => {
      const reply = await say(
        server.port,
        `PTTL ${stores.prefix}s:{${sid}}\r\n`,
      );
      return Number(reply.slice(1));
    };
    assertMatch(String(await ttl()), /^360[89]\d{3}|3610000$/);
    await store.extend(sid, Date.now() + 2 * HOUR);
    assertMatch(String(await ttl()), /^720[89]\d{3}|7210000$/);
  });

  itNeedsRedis("extend prolongs and changes nothing else", async () => {
    const sid = newId();
    const end = Date.now() + HOUR;
    const written = record({ expires: end, absoluteEnd: end + HOUR });
    const version = await store.write(sid, written, null);
    const stored = { ...written, version: version! };
    assert(await store.extend(sid, end - 1000));
    assertEquals(await store.read(sid), stored);
    assert(await store.extend(sid, end + 1000));
    assertEquals(await store.read(sid), { ...stored, expires: end + 1000 });
    assert(await store.extend(sid, end + 2 * HOUR));
    assertEquals(await store.read(sid), { ...stored, expires: end + HOUR });
    assertFalse(await store.extend(newId(), end));
  });

  itNeedsRedis("byClient follows the last binding", async () => {
    const [a, b, client, other] = [newId(), newId(), newId(), newId()];
    const first = await store.write(a, record({ clientId: client }), null);
    assertEquals(await store.byClient(client), a);
    await store.write(b, record({ clientId: client }), null);
    assertEquals(await store.byClient(client), b);
    await store.write(a, record({ clientId: other }), first!);
    assertEquals(await store.byClient(client), b);
    assertEquals(await store.byClient(other), a);
    await store.destroy(a);
    assertEquals(await store.byClient(other), undefined);
  });

  itNeedsRedis("a refused write does not change the client index", async () => {
    const [a, b, client] = [newId(), newId(), newId()];
    const first = await store.write(a, record({ clientId: client }), null);
    await store.destroy(a);
    await store.write(b, record({ clientId: client }), null);
    assertEquals(
      await store.write(a, record({ clientId: client }), first!),
      undefined,
    );
    assertEquals(await store.byClient(client), b);
  });

  itNeedsRedis(
    "byUser finds all sessions of a user, however they were bound to the user",
    async () => {
      const [a, b, c, user] = [newId(), newId(), newId(), newId("user")];
      await store.write(a, record({ user }), null);
      const version = await store.write(b, record(), null);
      const named = await store.write(b, record({ user }), version!);
      await store.write(c, record(), null);
      await store.acquire(c, "t", HOUR, 0);
      await store.commit(c, "t", record({ user }));
      assertEquals([...await store.byUser(user)].sort(), [a, b, c].sort());
      await store.write(b, record({ user: newId("user") }), named!);
      await store.destroy(c);
      assertEquals(await store.byUser(user), [a]);
      assertEquals(await store.byUser(newId("user")), []);
    },
  );

  itNeedsRedis("byHash finds a session by the hash of its id", async () => {
    const sid = newId();
    const hash = createHash("sha256").update(sid).digest("base64url").slice(
      0,
      22,
    );
    assertEquals(await store.byHash(hash), undefined);
    await store.write(sid, record(), null);
    assertEquals(await store.byHash(hash), sid);
    await store.destroy(sid);
    assertEquals(await store.byHash(hash), undefined);
  });

  itNeedsRedis(
    "the index lasts as long as a session that is extended",
    async () => {
      const [sid, client, user] = [newId(), newId(), newId("user")];
      const end = Date.now() + 100;
      await store.write(
        sid,
        record({ clientId: client, user, expires: end, maxAge: 30 * HOUR }),
        null,
      );
      await store.extend(sid, Date.now() + 100 * HOUR);
      const { expires } = (await store.read(sid))!;
      assertEquals(await store.byUser(user), [sid]);
      for (const kind of ["c", "u", "h"]) {
        const id = { c: client, u: user, h: sid }[kind]!;
        const hash = createHash("sha256").update(id).digest("base64url").slice(
          0,
          22,
        );
        const reply = await say(
          server.port,
          `PEXPIRETIME ${stores.prefix}${kind}:${hash}\r\n`,
        );
        assert(Number(reply.slice(1)) > expires, `${kind} ends too early`);
        assertLess(Number(reply.slice(1)), expires + HOUR + 60_000);
      }
    },
  );

  itNeedsRedis("versions answers for many at once", async () => {
    const sids = Array.from({ length: 1200 }, (_, i) => `${newId()}-${i}`);
    const written = await Promise.all(
      sids.map((sid, i) =>
        i % 3 ? store.write(sid, record(), null) : undefined
      ),
    );
    assertEquals(await store.versions(sids), written);
    assertEquals(await store.versions([]), []);
  });
}

function options() {
  const client = {
    evalSha: () => Promise.resolve(),
    eval: () => Promise.resolve(),
    duplicate: () => {
      throw new Error("unused");
    },
  };

  it("the prefix is koa-io: unless another is given", () => {
    assertEquals(new RedisStore({ client }).prefix, "koa-io:");
    assertEquals(new RedisStore({ client, prefix: null }).prefix, "koa-io:");
    assertEquals(new RedisStore({ client, prefix: "a:" }).prefix, "a:");
    assertEquals(new RedisStore({ client }).scope, "shared");
  });

  it("a wrong option is refused by name", () => {
    const wrong: [unknown, typeof TypeError | typeof RangeError, string][] = [
      [undefined, TypeError, "options"],
      [{}, TypeError, "client"],
      [{ client: null }, TypeError, "client"],
      [{ client: {} }, TypeError, "client.evalSha"],
      [{ client: { evalSha() {} } }, TypeError, "client.eval"],
      [{ client: { evalsha() {}, eval() {} } }, TypeError, "client.duplicate"],
      [{ client, prefix: 1 }, TypeError, "prefix"],
      [{ client, prefix: "{a}" }, RangeError, "prefix"],
    ];
    for (const [given, type, name] of wrong) {
      const error = assertThrows(() =>
        new RedisStore(given as { client: typeof client })
      );
      assertInstanceOf(error, type);
      assertStringIncludes((error as Error).message, `as ${name} must be`);
    }
  });
}
