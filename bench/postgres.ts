/** A separate PostgreSQL on a free port, in a temporary directory, with its usual durability. */
import { execFile, spawn } from "node:child_process";
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import process from "node:process";
import { promisify } from "node:util";

const run = promisify(execFile);

const DEBIAN = "/usr/lib/postgresql";

/** A server that runs. */
export interface Postgres {
  readonly address: object;
  remove(): Promise<void>;
}

/** Starts it; throws where there is no PostgreSQL. */
export async function startPostgres(): Promise<Postgres> {
  const dir = mkdtempSync(`${tmpdir()}/koa-io-bench-`);
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    const ids = ["-u", "-g"].map((flag) => run("id", [flag, "postgres"]));
    const [uid, gid] = await Promise.all(ids);
    chownSync(dir, Number(uid!.stdout), Number(gid!.stdout));
  }
  // PostgreSQL refuses to run as root
  const command = (
    name: string,
    args: string[],
  ): [command: string, args: string[]] => {
    const path = `${bin()}${name}`;
    const user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
    return isRoot ? ["setpriv", [...user, path, ...args]] : [path, args];
  };
  const data = `${dir}/data`;
  await run(
    ...command("initdb", ["-D", data, "-U", "postgres", "-A", "trust"]),
    { cwd: tmpdir() },
  );
  const port = await freePort();
  const child = spawn(
    ...command("postgres", [
      ...["-D", data, "-p", `${port}`, "-k", dir],
      ...["-c", "listen_addresses=127.0.0.1"],
    ]),
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  await new Promise<void>((resolve, reject) => {
    child.once("exit", () => reject(new Error("postgres ended")));
    child.stderr.on("data", (text) => {
      if (String(text).includes("ready to accept connections")) resolve();
    });
  });
  const address = { host: "127.0.0.1", port, user: "postgres" };
  return {
    address: { ...address, database: "postgres" },
    async remove() {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGINT");
      await ended;
      rmSync(dir, { recursive: true });
    },
  };
}

/** Debian keeps the programs off the `PATH`. */
function bin(): string {
  if (!existsSync(DEBIAN)) return "";
  const [newest] = readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a));
  return `${DEBIAN}/${newest}/bin/`;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
