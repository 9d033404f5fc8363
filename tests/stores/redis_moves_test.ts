import type { RedisStore } from "@koa-io/session/redis";
import { assert, assertEquals } from "@std/assert";
import { afterEach, beforeEach, describe } from "@std/testing/bdd";
import { createHash } from "node:crypto";
import { PACKAGES } from "../support/redis/clients.ts";
import { command, monitor, say } from "../support/redis/commands.ts";
import { repeating } from "../support/redis/repeating.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { type Stores, storesOf } from "../support/redis/stores.ts";
import { redisServerPath } from "../support/requires.ts";
import { HOUR, newId, record } from "../support/stores/records.ts";

const path = redisServerPath();

let server: RedisServer;

describe("RedisStore's begins and moves", () => {
  withRedisServer((started) => server = started);
  for (const name of PACKAGES) {
    describe(`with ${name}`, () => beginsAndMoves(name));
  }
});

function beginsAndMoves(name: typeof PACKAGES[number]) {
  let stores: Stores;
  let store: RedisStore;
  beforeEach(async () => {
    stores = storesOf(name);
    if (path) store = await stores.open(server.port);
  });
  afterEach(() => stores.close());

  itNeedsRedis(
    "a note on a former id leaves Redis after ten minutes",
    async () => {
      const [from, to, ended] = [newId(), newId(), newId()];
      const expected = (await store.write(from, record(), null))!;
      await store.move(from, to, record(), { expected }, 'odd\n"note" 😀');
      await store.write(ended, record(), null);
      await store.destroy(ended, "note");
      assertEquals((await store.former(from))!.note, 'odd\n"note" 😀');
      for (const sid of [from, ended]) {
        const key = `${stores.prefix}f:{${sid}}`;
        const ttl = Number(
          (await say(server.port, `PTTL ${key}\r\n`)).slice(1),
        );
        assert(ttl > 590_000 && ttl <= 600_000, `${ttl}`);
      }
    },
  );

  itNeedsRedis(
    "a record of an earlier version is read and written",
    async () => {
      const [sid, client] = [newId(), newId()];
      const old = record({ clientId: client });
      const { maxAge, cookie, clientId, settled, user } = old;
      const binding = JSON.stringify({
        maxAge,
        cookie,
        clientId,
        settled,
        user,
      });
      await command(server.port, [
        "HSET",
        `${stores.prefix}s:{${sid}}`,
        ...["v", "old.1", "e", String(old.expires), "a", "", "m", binding],
        ...["d", old.data, "x", String(old.expires)],
      ]);
      const hash = createHash("sha256").update(client).digest("base64url");
      const pointer = `${stores.prefix}c:${hash.slice(0, 22)}`;
      await command(server.port, ["SET", pointer, sid]);
      assertEquals(await store.read(sid), { ...old, version: "old.1" });
      const later = record({ clientId: client, arrived: Date.now() });
      assertEquals(await store.begin(newId(), later, { replaces: [] }), {
        status: "occupied",
        before: sid,
      });
      assert(await store.extend(sid, 0, 5));
      assertEquals((await store.read(sid))!.lastUsed, 5);
      const condition = { expected: "old.1" };
      const moved = await store.move(sid, newId(), later, condition, "");
      assertEquals(moved.status, "done");
    },
  );

  itNeedsRedis("a begin and a move are one script each", async () => {
    const [sid, client, user] = [newId(), newId(), newId("user")];
    const of = record({ clientId: client, user });
    await store.begin(newId(), of);
    const watch = await monitor(server.port);
    try {
      const begun = await store.begin(sid, of);
      assert(begun.status === "begun");
      const condition = { expected: begun.version };
      await store.move(sid, newId(), of, condition, "note");
      const lines = (await watch.commands()).filter((line) =>
        line.includes(`s:{${sid}}`)
      );
      assertEquals(lines.length, 2, lines.join("\n"));
    } finally {
      watch.close();
    }
  });

  itNeedsRedis(
    "a begin and a move that are sent again are done once",
    async () => {
      const [first, sid, to, client] = [newId(), newId(), newId(), newId()];
      const of = record({ clientId: client });
      await store.begin(first, of);
      const again = await repeating(name, server.port, stores.prefix);
      try {
        const begun = await again.store.begin(sid, of);
        assert(begun.status === "begun");
        assertEquals(begun.before, first);
        const condition = { expected: begun.version };
        const moved = await again.store.move(sid, to, of, condition, "note");
        assertEquals(moved.status, "done");
        assertEquals(await store.byClient(client), to);
        assertEquals((await store.former(sid))!.to, to);
        assert(await again.store.tryLock(sid, "token", HOUR));
      } finally {
        await again.close();
      }
    },
  );
}
