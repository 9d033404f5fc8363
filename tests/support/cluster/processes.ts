/** Nodes of a cluster, each in a process of its own. */
import type { ChildProcess } from "node:child_process";
import process from "node:process";
import type { ServerOptions } from "socket.io";
import { Browser } from "../browser.ts";
import { startChild } from "../child_process.ts";
import { CookieJar } from "../cookies.ts";
import { freePort } from "../ports.ts";
import type { Address } from "../postgres/cluster.ts";
import type { TestOptions } from "../server.ts";
import { until } from "../wait.ts";
import { type Messenger, newKeys } from "./messengers.ts";

/** The configuration of a node, passed as JSON. */
export interface NodeConfig {
  /** Where the store's Redis or PostgreSQL is. */
  readonly port: number;
  /** Set where both store and messenger are in PostgreSQL. */
  readonly postgres?: PostgresConfig;
  /** Where the messenger's Redis is, unless it is the same. */
  readonly messengerPort?: number;
  /** Where the node itself listens. */
  readonly listen: number;
  readonly messenger: Messenger | "processes";
  readonly prefix: string;
  readonly channel: string;
  readonly options?: TestOptions;
  readonly io?: Partial<ServerOptions>;
  /** The file of a SqliteStore: then Redis is not used, and nodes get no messages. */
  readonly file?: string;
}

/** How nodes use PostgreSQL. */
export interface PostgresConfig {
  readonly address: Address;
  readonly table: string;
  /** Settings of the store's pool. */
  readonly pool?: object;
}

/** A JSON line that a node has printed. */
export type Report = { readonly type: string } & Record<string, unknown>;

/** A node that runs. */
export interface NodeProcess {
  readonly url: string;
  readonly child: ChildProcess;
  /** The lines so far. */
  readonly lines: readonly Report[];
  /** Waits until there are this many lines of the type. */
  reported(type: string, times?: number): Promise<void>;
  /** Sends a signal: `SIGSTOP`, `SIGCONT`, `SIGKILL`. */
  signal(name: NodeJS.Signals): void;
}

/** Limit for the start of a process on a busy machine, in ms. */
const START_LIMIT = 30_000;

interface Running {
  readonly child: ChildProcess;
  readonly closed: Promise<unknown>;
}

const running: Running[] = [];
const browsers = new Set<Browser>();

/** Ends all nodes, and closes all browsers: for `afterEach`. */
export async function stopNodes(): Promise<void> {
  await Promise.all([...browsers].map((browser) => browser.close()));
  browsers.clear();
  await Promise.all(running.splice(0).map(stop));
}

/** Starts nodes with the same configuration. */
export async function spawnNodes(
  count: number,
  config: Partial<NodeConfig> & { readonly port: number },
): Promise<NodeProcess[]> {
  const shared = {
    messenger: "redis" as const,
    ...newKeys(),
    ...config,
  };
  return await Promise.all(
    Array.from({ length: count }, async () => {
      const listen = await freePort();
      return await startNode({ ...shared, listen });
    }),
  );
}

/** Starts nodes as the workers of `node:cluster`. */
export async function forkNodes(
  count: number,
  config: { readonly port: number },
): Promise<{ readonly url: string }[]> {
  const ports: number[] = [];
  for (let i = 0; i < count; i++) ports.push(await freePort());
  const shared = {
    messenger: "processes",
    ...newKeys(),
    ...config,
  };
  const primary = track(
    startChild(new URL("./primary_program.ts", import.meta.url), [
      ports.join(),
      JSON.stringify(shared),
    ]),
    "",
  );
  await primary.reported("ready", count);
  return ports.map((port) => ({ url: `http://127.0.0.1:${port}` }));
}

async function startNode(config: NodeConfig): Promise<NodeProcess> {
  const node = track(
    startChild(new URL("./node_program.ts", import.meta.url), [
      JSON.stringify(config),
    ]),
    `http://127.0.0.1:${config.listen}`,
  );
  await node.reported("ready");
  return node;
}

/** One browser, as an instance for each node with a common jar. */
export function browsersAt(
  nodes: readonly { readonly url: string }[],
): Browser[] {
  const jar = new CookieJar();
  const made = nodes.map(({ url }) => new Browser(url, jar));
  for (const browser of made) browsers.add(browser);
  return made;
}

/** Keeps a child process to stop it later, and collects its lines. */
export function track(child: ChildProcess, url: string): NodeProcess {
  running.push({
    child,
    closed: new Promise((resolve) => child.once("close", resolve)),
  });
  const lines: Report[] = [];
  let rest = "";
  child.stdout!.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    for (const part of parts) if (part) lines.push(JSON.parse(part));
  });
  return {
    url,
    child,
    lines,
    reported: (what, times = 1) =>
      until(
        () => {
          if (child.exitCode !== null) throw new Error("Cannot hear the node");
          return lines.filter(({ type }) => type === what).length >= times;
        },
        `${what} ${times} times`,
        START_LIMIT,
      ),
    // Deno's child.kill() does not send SIGCONT
    signal: (name) => void process.kill(child.pid!, name),
  };
}

async function stop({ child, closed }: Running): Promise<void> {
  // child.kill() does nothing where the process has just ended, process.kill() throws
  child.kill("SIGKILL");
  await closed;
}
