/** A PostgreSQL cluster of its own, in a temporary directory, for tests. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
// @ts-types="@types/pg"
import pg from "pg";
import { freePort } from "../ports.ts";
import { postgresBin } from "../requires.ts";
import { once, settles, until } from "../wait.ts";

const run = promisify(execFile);

/** How to connect to a server. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/** A server that runs. */
export interface Postgres {
  readonly address: Address;
  /** Sends a signal to every process of the server: `SIGSTOP`, `SIGCONT`. */
  signal(name: NodeJS.Signals): Promise<void>;
  /** Stops it as a crash does: no checkpoint, no farewell. */
  stop(): Promise<void>;
  /** Starts it again, on its data. */
  start(): Promise<void>;
  /** Starts a read-only standby of it. */
  standby(): Promise<Postgres>;
  /** Stops it and removes its data, and those of its standbys. */
  remove(): Promise<void>;
}

/** Starts a cluster on a free port. */
export async function startPostgres(): Promise<Postgres> {
  const dir = await makeDir();
  const data = join(dir, "data");
  await asUser("initdb", [
    ...["-D", data, "-U", "postgres", "-A", "trust"],
    ...["-E", "UTF8", "--locale", "C", "--no-sync"],
  ]);
  return await serve(dir, data);
}

async function serve(dir: string, data: string): Promise<Postgres> {
  const port = await freePort();
  const address: Address = {
    host: "127.0.0.1",
    port,
    user: "postgres",
    database: "postgres",
  };
  const standbys: Postgres[] = [];
  let child: ChildProcess;
  const server: Postgres = {
    address,
    async signal(name) {
      // first the one that starts the others
      process.kill(child.pid!, name);
      for (const pid of await childrenOf(child.pid!)) signalIfAlive(pid, name);
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit", { timeout: 20_000 });
      process.kill(child.pid!, "SIGQUIT");
      await ended;
    },
    async start() {
      const [command, args] = commandOf("postgres", [
        ...["-D", data, "-p", String(port), "-k", dir],
        ...["-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=16MB"],
        ...["-c", "max_connections=60", "-c", "logging_collector=off"],
        // what a crash of the machine leaves is not tested
        ...["-c", "fsync=off", "-c", "full_page_writes=off"],
      ]);
      child = spawn(command, args, { stdio: "ignore" });
      await until(() => answers(address), "PostgreSQL answering", 20_000);
    },
    async standby() {
      const dir = await makeDir();
      const data = join(dir, "data");
      await asUser("pg_basebackup", [
        ...["-h", address.host, "-p", String(port), "-U", address.user],
        ...["-D", data, "-R", "-c", "fast", "--no-sync"],
      ]);
      const standby = await serve(dir, data);
      standbys.push(standby);
      return standby;
    },
    async remove() {
      for (const standby of standbys) await standby.remove();
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

/** A directory of the user that runs the server. */
async function makeDir(): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), "koa-io-postgres-"));
  const id = await serverUser();
  if (id) chownSync(dir, id.uid, id.gid);
  return dir;
}

/** PostgreSQL refuses to run as root: the user postgres then runs it. */
async function serverUser(): Promise<
  { uid: number; gid: number } | undefined
> {
  if (process.getuid?.() !== 0) return undefined;
  const [uid, gid] = await Promise.all(["-u", "-g"].map(async (flag) => {
    const { stdout } = await run("id", [flag, "postgres"]);
    return Number(stdout);
  }));
  return { uid: uid!, gid: gid! };
}

function commandOf(
  program: string,
  args: readonly string[],
): [command: string, args: string[]] {
  const path = join(postgresBin()!, program);
  return process.getuid?.() === 0
    ? ["setpriv", [
      ...["--reuid=postgres", "--regid=postgres", "--clear-groups", path],
      ...args,
    ]]
    : [path, [...args]];
}

async function asUser(
  program: string,
  args: readonly string[],
): Promise<void> {
  const [command, all] = commandOf(program, args);
  await run(command, all, { cwd: tmpdir() });
}

async function childrenOf(pid: number): Promise<number[]> {
  const { stdout } = await run("ps", ["-A", "-o", "pid=,ppid="]);
  return stdout.trim().split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, parent]) => parent === pid).map(([child]) => child!);
}

function signalIfAlive(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // it has just ended
  }
}

/** Whether a server accepts connections. */
export async function answers(address: Address): Promise<boolean> {
  const client = new pg.Client(address);
  client.on("error", () => {});
  try {
    await settles(client.connect(), "the connection", 1_000);
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}
