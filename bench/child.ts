/** Starts the processes of the benchmark and sends them commands; see control.ts. */
import { createInterface } from "node:readline";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import type { Answer, Commands } from "./control.ts";

/** The command that runs a file of bench/: the program, and its flags before the file name. */
export interface Runtime {
  readonly name: string;
  readonly version: string;
  readonly program: string;
  readonly flags: readonly string[];
  /** The path of a file of bench/ for this runtime. */
  path(file: string): string;
}

/** Time limit for a command, in ms; after it, the child is killed. */
const COMMAND_TIMEOUT = 300_000;

/** A process that serves commands. */
export class Child<C extends Commands> {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** @param core the CPU that the process is pinned to; without it, the process is not pinned */
  constructor(
    runtime: Runtime,
    file: string,
    args: readonly string[],
    core?: number,
  ) {
    const command = [
      ...core === undefined ? [] : ["taskset", "-c", String(core)],
      runtime.program,
      ...runtime.flags,
      runtime.path(file),
      ...args,
    ];
    this.#process = spawn(command[0]!, command.slice(1), {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, NODE_ENV: "production" },
    });
    const lines = createInterface({ input: this.#process.stdout! });
    this.#lines = lines[Symbol.asyncIterator]();
  }

  /** Sends a command and waits for the result. */
  async call<K extends keyof C & string>(
    name: K,
    ...[argument]: Parameters<C[K]>
  ): Promise<Answer<C, K>> {
    this.#process.stdin!.write(JSON.stringify({ name, argument }) + "\n");
    const hung = AbortSignal.timeout(COMMAND_TIMEOUT);
    const abort = () => this.#process.kill("SIGKILL");
    hung.addEventListener("abort", abort);
    const line = await this.#lines.next();
    hung.removeEventListener("abort", abort);
    if (line.done) throw new Error(`A process ended at the command ${name}`);
    const { value, error } = JSON.parse(line.value);
    if (error !== undefined) throw new Error(`${name}: ${error}`);
    return value;
  }

  /** Ends the process. */
  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.stdin!.end();
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), 2_000);
    if (this.#process.exitCode === null && !this.#process.signalCode) {
      await ended;
    }
    clearTimeout(timer);
  }
}
