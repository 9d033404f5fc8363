/** Starts and stops the processes of the example. */
import { spawn } from "node:child_process";
import process from "node:process";

/** Time limit for a process to stop after SIGTERM, in ms. */
const STOP_TIMEOUT = 5_000;

/** A process. */
export interface Child {
  /** Resolves with its first line, rejects when it ends without one. */
  readonly ready: Promise<void>;
  readonly ended: Promise<void>;
  /** The first line of its output. */
  says(): string;
  running(): boolean;
  end(): Promise<void>;
}

/** Starts a process that prints one line to stdout when it is ready. */
export function start(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Child {
  const child = spawn(command, args, {
    env: { ...process.env, ...env },
    // the server ends with its stdin, in case this process is killed
    stdio: ["pipe", "pipe", "inherit"],
    // Ctrl+C is for this process, which ends the others in their order
    detached: true,
  });
  let said = "";
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("\n")) resolve();
    });
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`${command} has ended`)));
  });
  ready.catch(() => {});
  const running = () => child.exitCode === null && child.signalCode === null;
  return {
    ready,
    ended,
    says: () => said.split("\n", 1)[0]!,
    running,
    async end() {
      if (child.pid === undefined || !running()) return;
      // after child.kill(), Deno reports the child as ended at once
      process.kill(child.pid, "SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT);
      await ended;
      clearTimeout(timer);
    },
  };
}
