/**
 * The demo on three processes: `deno task example:cluster` serves it on
 * http://localhost:3000, 3001 and 3002. Two run on Deno and one on Node, if
 * Node is installed; all keep their sessions in the Redis on port 6379, which is
 * started if it does not answer. `PORT` and `REDIS_PORT` change the ports.
 */
import { randomBytes } from "node:crypto";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type Child, start } from "./children.ts";
import { prepareNode } from "./for_node.ts";
import { provideRedis } from "./redis.ts";

const SERVER = fileURLToPath(new URL("server.ts", import.meta.url));

const first = port("PORT", 3000);
const ports = [first, first + 1, first + 2];
const redisPort = port("REDIS_PORT", 6379);

const servers: Child[] = [];
let redis: Child | undefined;
let removeLeftovers = () => {};
let ending: Promise<void> | undefined;

function end(code: number): Promise<void> {
  return ending ??= (async () => {
    await Promise.all(servers.map((server) => server.end()));
    // which they need until the end
    await redis?.end();
    removeLeftovers();
    process.exit(code);
  })();
}

process.on("SIGINT", () => void end(0));
process.on("SIGTERM", () => void end(0));

try {
  await serve();
} catch (error) {
  if (!ending) {
    console.error(`Cannot start the cluster: ${(error as Error).message}`);
    await end(1);
  }
}

async function serve(): Promise<void> {
  redis = await provideRedis(redisPort);
  const node = prepareNode();
  if (typeof node === "string") {
    console.log(`${node}: the third process runs on Deno, too`);
  } else removeLeftovers = node.remove;

  // signs the cookies of all three processes
  const key = randomBytes(32).toString("base64url");
  for (const [i, own] of ports.entries()) {
    const env = {
      PORTS: ports.join(),
      OWN_PORT: String(own),
      REDIS_PORT: String(redisPort),
      APP_KEY: key,
    };
    const deno = ["run", "-A", SERVER];
    servers.push(
      i === 2 && typeof node !== "string"
        ? start(node.command, node.args, env)
        : start(process.execPath, deno, env),
    );
  }
  await Promise.all(servers.map(({ ready }) => ready));

  console.log("One session, three processes:");
  for (const [i, { says }] of servers.entries()) {
    console.log(`  http://localhost:${ports[i]}  ${says()}`);
  }
  console.log("Open them in tabs of one browser. Ctrl+C ends them.");
  for (const [i, { ended }] of servers.entries()) {
    void ended.then(() => {
      if (ending) return;
      console.log(`The process on port ${ports[i]} has ended`);
      if (servers.every(({ running }) => !running())) void end(1);
    });
  }
}

function port(name: string, otherwise: number): number {
  const value = process.env[name];
  const number = value ? Number(value) : otherwise;
  if (Number.isInteger(number) && number > 0 && number < 65_534) return number;
  console.error(
    `Cannot start the cluster as ${name} must be a port number: received ${value}`,
  );
  process.exit(1);
}
