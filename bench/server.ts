/** The measured process: a server with one target, which reports its CPU time and memory. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { serveCommands } from "./control.ts";
import { bare } from "./targets/bare.ts";
import { expressSession } from "./targets/express_session.ts";
import { koaSession } from "./targets/koa_session.ts";
import { ours, oursWithUser } from "./targets/ours.ts";

const targets = {
  bare,
  koaSession,
  expressSession,
  ours,
  oursWithUser,
} as const;

/** The name of a target. */
export type TargetName = keyof typeof targets;

const { listener, io, attached, fill } = targets
  [process.argv[2] as TargetName]();
const server = createServer(listener);
io?.attach(server);
attached?.();
server.listen(0, "127.0.0.1");
server.keepAliveTimeout = 600_000;

const collect = (globalThis as { gc?: () => void }).gc;

/** Command handlers of the server. */
const commands = {
  async port(): Promise<number> {
    if (!server.listening) {
      await new Promise<void>((resolve) => server.once("listening", resolve));
    }
    return (server.address() as AddressInfo).port;
  },
  /** CPU time used so far, in µs. */
  cpu(): number {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  /** Bytes in use after a garbage collection. */
  async memory(): Promise<number> {
    for (let i = 0; i < 4; i++) {
      collect?.();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  },
  async fill(count: number): Promise<void> {
    await fill?.(count);
  },
};

/** The type of the server's commands. */
export type ServerCommands = typeof commands;

await serveCommands(commands);
