/** Programs that tests start as child processes, on the runtime that runs the tests. */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { once, settles } from "./wait.ts";

/**
 * Starts a program of tests/. Bare specifiers may resolve differently there: hand it URLs from `import.meta.resolve` to import from.
 */
export function startChild(
  program: URL,
  args: readonly string[] = [],
): ChildProcess {
  const flags = process.versions.deno ? ["run", "-A"] : [];
  return spawn(
    process.execPath,
    [...flags, fileURLToPath(program), ...args],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
}

/** Runs a program that must end without a signal; resolves to its output and its duration in ms. */
export async function childOf(
  program: URL,
  args: readonly string[] = [],
  timeout = 30_000,
): Promise<{ code: number | null; stdout: string; ms: number }> {
  const from = Date.now();
  const child = startChild(program, args);
  let stdout = "";
  child.stdout!.setEncoding("utf8").on("data", (text) => stdout += text);
  child.stdin!.end();
  try {
    const closed = once<[number | null]>(child, "close", { timeout });
    const [code] = await settles(closed, "the child's end", timeout);
    return { code, stdout, ms: Date.now() - from };
  } finally {
    child.kill("SIGKILL");
  }
}
