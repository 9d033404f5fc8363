/** One tortured cluster: random programs of several users on three nodes, under faults, and a check of what was answered. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
// @ts-types="@types/pg"
import pg from "pg";
import { Browser } from "../support/browser.ts";
import { newKeys } from "../support/cluster/messengers.ts";
import {
  type NodeConfig,
  type NodeProcess,
  stopNodes,
  track,
} from "../support/cluster/processes.ts";
import { startChild } from "../support/child_process.ts";
import { CookieJar } from "../support/cookies.ts";
import { freePort } from "../support/ports.ts";
import { startPostgres } from "../support/postgres/cluster.ts";
import { newTable } from "../support/postgres/stores.ts";
import { say } from "../support/redis/commands.ts";
import { startRedis } from "../support/redis/server.ts";
import { database } from "../support/sqlite.ts";
import { Random } from "../simulation/random.ts";
import { disturb, type TorturedStore } from "./faults.ts";
import { type Fault, faultsOf, type Operation, timeline } from "./history.ts";
import { User } from "./user.ts";

/** The stores that can be tortured. */
export const STORES = ["redis", "sqlite", "postgres"] as const;

/** One of {@linkcode STORES}. */
export type StoreName = typeof STORES[number];

/** The implementations, each as the program of a node. */
export const TARGETS = {
  "bridge": "./node_program.ts",
  "koa-session": "./koa_session_program.ts",
  "express-session": "./express_session_program.ts",
} as const;

/** One of {@linkcode TARGETS}. */
export type TargetName = keyof typeof TARGETS;

const NODES = 3;
const USERS = 4;
/** Rounds of operations at once. */
const WAVES = 12;

/** The result of one run. */
export interface Tortured {
  readonly operations: number;
  readonly answered: number;
  readonly disturbances: readonly string[];
  /** The timelines of what must not be. */
  readonly faults: readonly string[];
}

interface Opened extends AsyncDisposable {
  readonly config: Partial<NodeConfig> & { readonly port: number };
  readonly store: TorturedStore;
}

/** Tortures a cluster on one store, by a seed. */
export async function torture(
  name: StoreName,
  seed: number,
  target: TargetName = "bridge",
): Promise<Tortured> {
  const random = new Random("torture", name, seed);
  await using opened = await open(name);
  const base = { messenger: "redis" as const, ...newKeys(), ...opened.config };
  const nodes: NodeProcess[] = [];
  const ports: number[] = [];
  const start = async (at: number) => {
    const program = new URL(TARGETS[target], import.meta.url);
    nodes[at] = await startNode(program, { ...base, listen: ports[at]! });
  };
  for (let i = 0; i < NODES; i++) ports.push(await freePort());
  try {
    await Promise.all(ports.map((_, i) => start(i)));
    const users = Array.from({ length: USERS }, (_, i) => {
      const jar = new CookieJar();
      const browsers = nodes.map(({ url }) => new Browser(url, jar));
      const hasSockets = target !== "koa-session";
      return new User(
        `u${i}`,
        browsers,
        new Random(seed, name, i),
        hasSockets,
      );
    });
    const working = Promise.all(users.map((user) => user.work(WAVES)));
    const disturbances = await disturb(
      {
        nodes,
        store: opened.store,
        restart: start,
        async flushed(act) {
          const done = users.map((user) => user.flushing());
          await act();
          done.forEach((flushed) => flushed());
        },
      },
      random,
      random.integer(1, 4),
    );
    await working;
    await Promise.all(users.map((user) => user.settle()));
    const unhandled = nodes.flatMap(({ lines }) =>
      lines.filter(({ type }) => type === "unhandled").map(({ error }) =>
        `an unhandled rejection\n${error}`
      )
    );
    await Promise.all(users.map((user) => user.close()));
    const all = users.flatMap(({ history }) => history);
    return {
      operations: all.length,
      answered: all.filter(({ ok }) => ok).length,
      disturbances,
      faults: [...users.flatMap(({ history }) => shown(history)), ...unhandled],
    };
  } finally {
    for (const { child, signal } of nodes) {
      if (child.exitCode === null && child.signalCode === null) {
        signal("SIGCONT");
      }
    }
    await stopNodes();
  }
}

function shown(history: readonly Operation[]): string[] {
  return faultsOf(history).map((fault: Fault) => timeline(history, fault));
}

async function startNode(
  program: URL,
  config: NodeConfig,
): Promise<NodeProcess> {
  const node = track(
    startChild(program, [JSON.stringify(config)]),
    `http://127.0.0.1:${config.listen}`,
  );
  await node.reported("ready");
  return node;
}

async function open(name: StoreName): Promise<Opened> {
  if (name === "sqlite") return openFile();
  return name === "redis" ? await openRedis() : await openPostgres();
}

function openFile(): Opened {
  const dir = mkdtempSync(join(tmpdir(), "torture-"));
  const file = join(dir, "sessions.db");
  return {
    config: { port: 0, file },
    store: {
      flush() {
        const db = database(file);
        try {
          db.exec("PRAGMA busy_timeout = 5000; DELETE FROM sessions");
        } finally {
          db.close();
        }
        return Promise.resolve();
      },
    },
    [Symbol.asyncDispose]() {
      rmSync(dir, { recursive: true });
      return Promise.resolve();
    },
  };
}

async function openRedis(): Promise<Opened> {
  const server = await startRedis();
  const { port } = server;
  return {
    config: { port },
    store: {
      cut: () => say(port, "CLIENT KILL TYPE normal SKIPME yes\r\n"),
      signal: (what) => server.signal(what),
      flush: () => say(port, "FLUSHALL\r\n"),
    },
    async [Symbol.asyncDispose]() {
      server.signal("SIGCONT");
      await server.stop();
    },
  };
}

async function openPostgres(): Promise<Opened> {
  const server = await startPostgres();
  const { address } = server;
  const table = newTable();
  const query = async (text: string) => {
    const client = new pg.Client(address);
    client.on("error", () => {});
    await client.connect();
    await client.query(text).finally(() => client.end());
  };
  return {
    config: { port: address.port, postgres: { address, table } },
    store: {
      cut: () =>
        query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
        ),
      signal: (what) => server.signal(what),
      flush: () => query(`DELETE FROM ${table}`),
    },
    async [Symbol.asyncDispose]() {
      await server.signal("SIGCONT");
      await server.remove();
    },
  };
}
