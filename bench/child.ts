/** Starts the processes of the benchmark and talks to them; see control.ts. */
import { createInterface } from "node:readline";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import type { Answer, Commands } from "./control.ts";

/** How a file of bench/ is run: the program, and what goes before the file's name. */
export interface Runtime {
  readonly name: string;
  readonly version: string;
  readonly program: string;
  readonly flags: readonly string[];
  /** The path of a file of bench/ for this runtime. */
  path(file: string): string;
}

/** How long a command may take before the child counts as hung, in ms. */
const PATIENCE = 300_000;

/** A process that serves commands. */
export class Child<C extends Commands> {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** @param core the CPU that the process is kept on; left out, it runs where it likes */
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

  /** Gives a command and waits for the answer. */
  async call<K extends keyof C & string>(
    name: K,
    ...[argument]: Parameters<C[K]>
  ): Promise<Answer<C, K>> {
    this.#process.stdin!.write(JSON.stringify({ name, argument }) + "\n");
    const hung = AbortSignal.timeout(PATIENCE);
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
    const gone = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.stdin!.end();
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), 2_000);
    if (this.#process.exitCode === null && !this.#process.signalCode) {
      await gone;
    }
    clearTimeout(timer);
  }
}
