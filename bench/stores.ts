/** The process that measures stores through a bridge: speed and round trips. */
import { type BridgeOptions, bridgeSession } from "@koa-io/session";
// @ts-types="@types/koa"
import Koa from "koa";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import process from "node:process";
import { createClient } from "redis";
import { Server } from "socket.io";
import { serveCommands } from "./control.ts";
import { startPostgres } from "./postgres.ts";
import { fresh, KEYS } from "./targets/target.ts";

/** Number of sessions, and of concurrent calls. */
const SESSIONS = 500;
const AT_ONCE = 50;

const KILOBYTE = "x".repeat(1_000);

type Store = NonNullable<BridgeOptions["store"]>;

/** A store to measure. */
interface Opened {
  readonly store: Store;
  /** Added to the data of each session; default: none. */
  readonly padding?: string;
  /** Number of commands sent to the server so far, if there is one. */
  readonly roundTrips?: () => number;
  /** The same change in a transaction of the database's own, for comparison. */
  readonly bare?: (i: number) => Promise<unknown>;
  close(): Promise<void>;
}

/** The result of a measurement. */
export interface StoreCost {
  /** CPU time of this process per call, in µs, and calls per second. */
  readonly cpu: number;
  readonly rate: number;
  readonly roundTrips: number | undefined;
}

const stores = {
  memory: (): Promise<Opened> =>
    import("@koa-io/session").then(({ SessionStore }) => {
      const store = new SessionStore();
      return { store, close: () => Promise.resolve(store.close()) };
    }),
  "memory, 1 kB": (): Promise<Opened> =>
    import("@koa-io/session").then(({ SessionStore }) => {
      const store = new SessionStore();
      const close = () => Promise.resolve(store.close());
      return { store, padding: KILOBYTE, close };
    }),
  async "memory, 1 kB, encrypted"(): Promise<Opened> {
    const { SessionStore } = await import("@koa-io/session");
    const { encrypted } = await import("@koa-io/session/encrypted");
    const inner = new SessionStore();
    const store = encrypted(inner, { keys: [randomBytes(32)] });
    const close = () => Promise.resolve(inner.close());
    return { store, padding: KILOBYTE, close };
  },
  async SQLite(): Promise<Opened> {
    const { SqliteStore } = await import("@koa-io/session/sqlite");
    const dir = await mkdtemp(`${tmpdir()}/koa-io-bench-`);
    const store = new SqliteStore({ path: `${dir}/sessions.db` });
    const close = async () => {
      await store.close();
      await rm(dir, { recursive: true });
    };
    return { store, close };
  },
  async Redis(): Promise<Opened> {
    const { RedisStore } = await import("@koa-io/session/redis");
    const server = await startRedis();
    const { port } = server;
    const client = await createClient({ url: `redis://127.0.0.1:${port}` })
      .connect();
    let calls = 0;
    const counted = new Proxy(client, {
      get(target, name) {
        const member = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        return (...args: unknown[]) => {
          calls++;
          return Reflect.apply(member, target, args);
        };
      },
    });
    const store = new RedisStore({ client: counted });
    const close = async () => {
      await store.close();
      await client.close();
      server.stop();
    };
    return { store, roundTrips: () => calls, close };
  },
  async PostgreSQL(): Promise<Opened> {
    const { PostgresStore } = await import("@koa-io/session/postgres");
    const { default: pg } = await import("pg");
    const server = await startPostgres();
    // as many connections as calls: waiting for one is not what is measured
    const pool = new pg.Pool({ ...server.address, max: AT_ONCE });
    let calls = 0;
    const query = pool.query;
    Object.assign(pool, {
      query(...args: unknown[]) {
        calls++;
        return Reflect.apply(query, pool, args);
      },
    });
    const store = new PostgresStore({ pool, prune: false });
    await store.migrate();
    const bare = async (i: number) => {
      const client = await pool.connect();
      try {
        const values = [`s-${i % SESSIONS}`];
        const table = store.table;
        await client.query("BEGIN");
        const { rows: [row] } = await client.query(
          `SELECT data FROM ${table} WHERE sid = $1 FOR UPDATE`,
          values,
        );
        const data = JSON.parse(row.data);
        data.count++;
        await client.query(
          `UPDATE ${table} SET data = $2, expires = $3 WHERE sid = $1`,
          [...values, JSON.stringify(data), Date.now() + 86_400_000],
        );
        await client.query("COMMIT");
      } finally {
        client.release();
      }
    };
    const close = async () => {
      await store.close();
      await pool.end();
      await server.remove();
    };
    return { store, roundTrips: () => calls, bare, close };
  },
} as const;

/** A separate Redis on a free port, without persistence. */
async function startRedis(): Promise<{ port: number; stop(): void }> {
  const probe = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  const flags = ["--port", `${port}`, "--save", "", "--bind", "127.0.0.1"];
  const child = spawn("redis-server", flags, {
    stdio: ["ignore", "pipe", "ignore"],
  });
  await new Promise<void>((resolve, reject) => {
    child.once("error", () => reject(new Error("no redis-server on the PATH")));
    child.once("exit", () => reject(new Error("redis-server ended")));
    child.stdout.on("data", (text) => {
      if (String(text).includes("Ready to accept connections")) resolve();
    });
  });
  return { port, stop: () => void child.kill() };
}

async function measure(
  ms: number,
  roundTrips: (() => number) | undefined,
  operate: (i: number) => Promise<unknown>,
  atOnce = AT_ONCE,
): Promise<StoreCost> {
  let count = 0;
  const calls = roundTrips?.() ?? 0;
  const cpu = process.cpuUsage();
  const since = performance.now();
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (performance.now() - since < ms) await operate(count++);
  }));
  const seconds = (performance.now() - since) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return {
    cpu: (user + system) / count,
    rate: count / seconds,
    roundTrips: roundTrips && (roundTrips() - calls) / count,
  };
}

const commands = {
  /** Reads and increments sessions in a store; returns the reason if the store is not available. */
  async ask({ name, ms }: { name: keyof typeof stores; ms: number }) {
    let opened: Opened;
    try {
      opened = await stores[name]();
    } catch (error) {
      return { missing: (error as Error).message };
    }
    const { store, roundTrips } = opened;
    const app = new Koa();
    app.keys = KEYS;
    const bridge = bridgeSession<ReturnType<typeof fresh>>(app, new Server(), {
      key: "sid",
      store,
    });
    await fill(store, opened.padding);
    const get = (i: number) => bridge.peek(`s-${i % SESSIONS}`);
    const withSession = (i: number) =>
      bridge.withSession(`s-${i % SESSIONS}`, ({ session }) => {
        session.count++;
      });
    await measure(ms / 4, roundTrips, get);
    await measure(ms / 4, roundTrips, withSession);
    const costs = {
      get: await measure(ms, roundTrips, get),
      withSession: await measure(ms, roundTrips, withSession),
      "withSession, watched": await whileWatched(() =>
        measure(ms, roundTrips, withSession)
      ),
    };
    const compared = opened.bare && await compare(ms, opened.bare, withSession);
    await bridge.close();
    await opened.close();
    return { ...costs, ...compared };
  },
};

/**
 * A transaction of the database's own beside `withSession`: with as many calls
 * at once as the others, and the median of the ratios of the times that one
 * call takes, one after another on one row, in alternating turns.
 */
async function compare(
  ms: number,
  bare: (i: number) => Promise<unknown>,
  withSession: (i: number) => Promise<unknown>,
) {
  await measure(ms / 4, undefined, bare);
  const cost = await measure(ms, undefined, bare);
  const ratios: number[] = [];
  for (let turn = 0; turn < 11; turn++) {
    const ours = await measure(ms / 3, undefined, () => withSession(0), 1);
    const theirs = await measure(ms / 3, undefined, () => bare(0), 1);
    ratios.push(theirs.rate / ours.rate);
  }
  ratios.sort((a, b) => a - b);
  return {
    "SELECT … FOR UPDATE; UPDATE": cost,
    "withSession ÷ SELECT … FOR UPDATE; UPDATE": ratios[5]!,
  };
}

/** Runs with a subscriber on the transaction channel; the difference to the other figure is the cost of tracing. */
async function whileWatched<T>(act: () => Promise<T>): Promise<T> {
  const channel = "tracing:koa-io-session:transaction:asyncEnd";
  const listener = () => {};
  subscribe(channel, listener);
  try {
    return await act();
  } finally {
    unsubscribe(channel, listener);
  }
}

async function fill(store: Store, padding?: string): Promise<void> {
  if (!("write" in store)) throw new TypeError("Not an atomic store");
  for (let i = 0; i < SESSIONS; i++) {
    await store.write(`s-${i}`, {
      data: JSON.stringify({ ...fresh(), padding }),
      maxAge: 86_400_000,
      expires: Date.now() + 86_400_000,
      absoluteEnd: undefined,
      cookie: undefined,
      clientId: `c-${i}`,
      settled: true,
      user: undefined,
      created: undefined,
      authenticatedAt: undefined,
      lastUsed: undefined,
      arrived: undefined,
      meta: undefined,
      handle: undefined,
    }, null);
  }
}

/** The type of the commands of this process. */
export type StoreCommands = typeof commands;

await serveCommands(commands);
