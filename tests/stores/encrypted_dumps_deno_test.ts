import { SessionStore, type SharedStore } from "@koa-io/session";
import { encrypted } from "@koa-io/session/encrypted";
import { RedisStore } from "@koa-io/session/redis";
import { SqliteStore } from "@koa-io/session/sqlite";
import { assert, assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Address } from "../support/postgres/cluster.ts";
import { itNeedsPostgres, withPostgres } from "../support/postgres/server.ts";
import { storesAt } from "../support/postgres/stores.ts";
import { openClient } from "../support/redis/clients.ts";
import { itNeedsRedis, startRedis } from "../support/redis/server.ts";
import { routesAndEvents } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";

/** Fills a store by logins, logouts, changes of user and id, and calls that wait; returns what must not be in it. */
async function use(store: SharedStore | SessionStore): Promise<string[]> {
  const secrets = new Set<string>();
  const secret = (what: string) => {
    const text = `${what}-${randomUUID()}`;
    secrets.add(text);
    return text;
  };
  const { bridge, browser } = await startServer({
    store: encrypted(store, { keys: [randomBytes(32)] }),
    user: ({ user }) => user as string,
    maxSessions: 2,
    meta: () => ({ agent: secret("agent") }),
  }, (parts) => {
    parts.bridge.on("sessionStart", ({ sessionId, clientId }) => {
      secrets.add(sessionId).add(clientId);
    });
    parts.app.use(async (ctx, next) => {
      if (ctx.path === "/regenerate") await ctx.regenerateSession();
      await next();
    });
    routesAndEvents(parts);
  });
  for (let user = 0; user < 4; user++) {
    const name = secret("user");
    for (let device = 0; device < 3; device++) {
      const one = browser();
      await one.post("/session", { json: { note: secret("note") } });
      await one.post("/session", { json: { user: name, n: 1 } });
      await one.get("/regenerate");
      const socket = await one.connect();
      await Promise.all(
        Array.from({ length: 5 }, () => one.ask(socket, "add")),
      );
      await one.ask(socket, "merge", { more: secret("more") });
      if (device === 1) await one.post("/logout");
      if (user === 3) await one.post("/session", { json: { user: "" } });
    }
  }
  assert(bridge.stats().sessions > 0);
  return [...secrets];
}

function assertAbsent(dump: string, secrets: readonly string[]): void {
  assert(dump.length > 1_000, "the dump is empty");
  assert(secrets.length > 50);
  assertEquals(secrets.filter((secret) => dump.includes(secret)), []);
}

describe("a dump of an encrypted store has no id, no user and no data", () => {
  afterEach(closeServers);
  let address: Address;
  withPostgres((found) => address = found);

  it("of a SessionStore", async () => {
    const store = new SessionStore({ autoCleanup: false });
    const secrets = await use(store);
    const dump = [...store.keys()].map((id) => [id, store.read(id)]);
    assertAbsent(JSON.stringify(dump), secrets);
  });

  it("of the files of a SqliteStore", async () => {
    const dir = mkdtempSync(join(tmpdir(), "koa-io-session-"));
    try {
      await using store = new SqliteStore({ path: join(dir, "sessions.db") });
      const secrets = await use(store);
      const files = readdirSync(dir).map((name) =>
        readFileSync(join(dir, name), "latin1")
      );
      assertAbsent(files.join("\n"), secrets);
      await closeServers();
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  itNeedsRedis("of a Redis", async () => {
    const dir = mkdtempSync(join(tmpdir(), "koa-io-session-"));
    const server = await startRedis("--dir", dir, "--rdbcompression", "no");
    const client = await openClient("ioredis", server.port);
    const store = new RedisStore({ client: client.client });
    try {
      const secrets = await use(store);
      await (client.client as unknown as { save(): Promise<unknown> }).save();
      assertAbsent(readFileSync(join(dir, "dump.rdb"), "latin1"), secrets);
    } finally {
      await closeServers();
      await store.close();
      await client.close();
      await server.stop();
      rmSync(dir, { recursive: true });
    }
  });

  itNeedsPostgres("of the tables of a PostgresStore", async () => {
    const stores = storesAt(address);
    try {
      const secrets = await use(await stores.open());
      const rows = [];
      for (const table of ["$table", "$table_former", "$table_locks"]) {
        rows.push(await stores.query(`SELECT * FROM ${table}`));
      }
      assertAbsent(JSON.stringify(rows), secrets);
      await closeServers();
    } finally {
      await stores.close();
    }
  });
});
