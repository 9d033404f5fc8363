/** Starts Redis where none is running. */
import { spawnSync } from "node:child_process";
import { connect } from "node:net";
import { type Child, start } from "./children.ts";

/** Time limit for the first answer of a new Redis, in ms. */
const PATIENCE = 10_000;

/** Starts redis-server, unless a Redis answers on this port. */
export async function provideRedis(port: number): Promise<Child | undefined> {
  if (await answers(port)) {
    console.log(`Redis answers on port ${port}`);
    return undefined;
  }
  if (spawnSync("redis-server", ["--version"]).error) {
    throw new Error(
      `no Redis answers on port ${port}, and there is no redis-server to start`,
    );
  }
  console.log(`No Redis answers on port ${port}: starting redis-server`);
  const child = start("redis-server", [
    ...["--port", String(port), "--bind", "127.0.0.1"],
    ...["--save", "", "--appendonly", "no"],
  ]);
  const end = Date.now() + PATIENCE;
  while (!(await answers(port))) {
    if (!child.running() || Date.now() > end) {
      await child.end();
      throw new Error(`redis-server does not answer on port ${port}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return child;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1_000, () => settle(false));
    socket.on("error", () => settle(false));
    socket.on("data", (reply) => settle(String(reply).startsWith("+PONG")));
  });
}
