/** A redis-server process for tests. */
import { afterAll, beforeAll } from "@std/testing/bdd";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { freePort } from "../ports.ts";
import { itNeeds, redisServerPath } from "../requires.ts";
import { once, settles, until } from "../wait.ts";
import { say } from "./commands.ts";

/** A redis-server process. */
export interface RedisServer {
  readonly port: number;
  /** Sends a signal: `SIGSTOP`, `SIGCONT`. */
  signal(name: NodeJS.Signals): void;
  /** Kills the process; its data is lost. */
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
      // child.kill() does nothing where the process has just ended, process.kill() throws
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

async function answers(port: number): Promise<boolean> {
  return await settles(say(port, "PING\r\n"), "PING", 200)
    .then((reply) => reply.startsWith("+PONG"), () => false);
}

/** A test that needs a redis-server; see {@linkcode itNeeds}. */
export function itNeedsRedis(name: string, body: () => Promise<void>): void {
  itNeeds("redis-server", redisServerPath(), name, body);
}

/**
 * Starts a redis-server before the tests of the current `describe` and stops
 * it after them. Does nothing where there is no redis-server.
 *
 * @param use is handed the server
 */
export function withRedisServer(use: (server: RedisServer) => void): void {
  let server: RedisServer | undefined;
  beforeAll(async () => {
    if (redisServerPath()) use(server = await startRedis());
  });
  afterAll(async () => {
    await server?.stop();
  });
}
