/**
 * How a process of the benchmark is told what to do: a line of JSON in on
 * stdin, a line of JSON out on stdout. Runs on Deno and on Node.
 */
import process from "node:process";
import { createInterface } from "node:readline";

/** What a child can be told; each command takes and returns plain JSON. */
export type Commands = Readonly<
  Record<string, (argument: never) => unknown>
>;

/** What a command answers with, for the one who gives it. */
export type Answer<C extends Commands, K extends keyof C> = Awaited<
  ReturnType<C[K]>
>;

/** Serves commands one after another until stdin ends, then leaves. */
export async function serveCommands(commands: Commands): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const { name, argument } = JSON.parse(line);
    let answer: object;
    try {
      answer = { value: await commands[name]!(argument as never) };
    } catch (error) {
      answer = { error: String((error as Error).stack ?? error) };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
  process.exit(0);
}
