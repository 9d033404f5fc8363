/**
 * Commands for a process of the benchmark: a line of JSON on stdin, a line of
 * JSON as the result on stdout. Runs on Deno and on Node.
 */
import process from "node:process";
import { createInterface } from "node:readline";

/** The commands of a child; each takes and returns plain JSON. */
export type Commands = Readonly<
  Record<string, (argument: never) => unknown>
>;

/** The result of a command, for its caller. */
export type Answer<C extends Commands, K extends keyof C> = Awaited<
  ReturnType<C[K]>
>;

/** Serves commands one after another until stdin ends, then exits. */
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
