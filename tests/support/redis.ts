/** A Redis of the test's own, clients of both packages, and what Redis was told. */
import type { RedisClient } from "@koa-io/session/redis";
import { Redis } from "ioredis";
import { type ChildProcess, spawn } from "node:child_process";
import { connect, createServer, type Socket } from "node:net";
import process from "node:process";
import { createClient } from "redis";
import { redisServerPath } from "./requires.ts";
import { once, settles, until } from "./wait.ts";

/** A redis-server process. */
export interface RedisServer {
  readonly port: number;
  /** Sends a signal: `SIGSTOP`, `SIGCONT`. */
  signal(name: NodeJS.Signals): void;
  /** Kills the process; what it held is gone. */
  stop(): Promise<void>;
  /** Starts it again, empty, on the same port. */
  start(): Promise<void>;
}

/** Starts a redis-server that keeps nothing on disk, on a free port, with further arguments. */
export async function startRedis(
  ...further: readonly string[]
): Promise<RedisServer> {
  const path = redisServerPath();
  if (!path) throw new Error("Cannot start redis-server as there is none here");
  const port = await freePort();
  let child: ChildProcess;
  const server: RedisServer = {
    port,
    signal: (name) => void process.kill(child.pid!, name),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      // unlike process.kill(), of no effect on one that ended a moment ago
      child.kill("SIGKILL");
      await ended;
    },
    async start() {
      const args = ["--port", String(port), "--bind", "127.0.0.1"];
      const quiet = [
        "--save",
        "",
        "--appendonly",
        "no",
        "--loglevel",
        "warning",
      ];
      child = spawn(path, [...args, ...quiet, ...further], { stdio: "ignore" });
      await until(() => answers(port), "redis-server answering", 10_000);
    },
  };
  await server.start();
  return server;
}

/** A client, and how to be rid of it. */
export interface OwnedClient {
  readonly client: RedisClient;
  close(): Promise<void>;
}

/** The packages that a {@linkcode RedisClient} may come from. */
export const PACKAGES = ["redis", "ioredis"] as const;

/** Connects a client of one of them. Both come back quickly when Redis does. */
export async function openClient(
  name: typeof PACKAGES[number],
  port: number,
): Promise<OwnedClient> {
  if (name === "ioredis") {
    const client = new Redis(port, "127.0.0.1", { retryStrategy: () => 50 });
    client.on("error", () => {});
    await once(client, "ready");
    return {
      client,
      async close() {
        const ended = client.status === "ready" && once(client, "end");
        client.disconnect();
        await ended;
      },
    };
  }
  const client = createClient({
    url: `redis://127.0.0.1:${port}`,
    socket: { reconnectStrategy: () => 50 },
  });
  client.on("error", () => {});
  await client.connect();
  return { client, close: () => Promise.resolve(client.destroy()) };
}

/** What Redis is told from now on, the inside of scripts left out. */
export interface Monitor {
  /** Every command so far; waits until those sent before have arrived. */
  commands(): Promise<readonly string[]>;
  close(): void;
}

/** Watches a Redis with `MONITOR`. */
export async function monitor(port: number): Promise<Monitor> {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
  socket.write("MONITOR\r\n");
  await until(() => text.startsWith("+OK"), "MONITOR");
  let marks = 0;
  return {
    async commands() {
      const mark = `mark-${++marks}`;
      await say(port, `ECHO ${mark}\r\n`);
      await until(() => text.includes(mark), "the mark");
      return text.split("\r\n").slice(1).filter((line) =>
        line !== "" && !/ lua\] /.test(line) && !line.includes("mark-")
      ).map((line) => line.replace(/^\S+ \[[^\]]*\] /, ""));
    },
    close: () => void socket.destroy(),
  };
}

/** Sends one command (a line of the inline protocol) and resolves to the raw reply. */
export function say(port: number, line: string): Promise<string> {
  return new Promise<string>((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.setEncoding("utf8");
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("Cannot hear Redis")));
    socket.on("data", (reply: string) => {
      resolve(reply);
      socket.destroy();
    });
    socket.write(line);
  });
}

async function answers(port: number): Promise<boolean> {
  return await settles(say(port, "PING\r\n"), "PING", 200)
    .then((reply) => reply.startsWith("+PONG"), () => false);
}

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const closed = once(server, "close");
  server.close();
  await closed;
  return port;
}

/** A way to a Redis that can be cut. */
export interface Proxy {
  readonly port: number;
  /** Cuts all connections and refuses new ones. */
  cut(): void;
  /** Lets connections through again. */
  mend(): void;
  close(): Promise<void>;
}

/** Puts a {@linkcode Proxy} in front of a port. */
export async function proxy(target: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let open = true;
  const cut = () => {
    open = false;
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  const server = createServer((near) => {
    if (!open) return void near.destroy();
    const far = connect(target, "127.0.0.1");
    for (const [from, to] of [[near, far], [far, near]] as const) {
      sockets.add(from);
      from.on("error", () => {}).on("close", () => to.destroy());
      from.pipe(to);
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as { port: number }).port,
    cut,
    mend: () => void (open = true),
    async close() {
      cut();
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}
