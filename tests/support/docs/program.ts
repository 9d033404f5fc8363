/** Programs of the documents, run as processes, from files, with bare specifiers. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { once, settles, until } from "../wait.ts";

/** Limit for the start of a process on a busy machine, in ms. */
const START_LIMIT = 60_000;

const DENO = process.versions.deno !== undefined;
/** Where Node finds the installed packages. */
const HERE = fileURLToPath(new URL("./", import.meta.url));
/** Imports the program, after `any_port.ts` has taken over `listen`. */
const START = "start_here.js";

/** A server that runs. */
export interface Program {
  /** As `http://127.0.0.1:1234`. */
  readonly url: string;
  /** What it has printed so far. */
  output(): string;
  /** Waits until it has printed this. */
  printed(text: string): Promise<void>;
  /** Ends the process as Ctrl+C does; the exit code. Rejects when it goes on. */
  interrupt(): Promise<number | null>;
  /** Kills the process. */
  stop(): Promise<void>;
}

const running = new Set<() => Promise<void>>();

/** Ends every program that was started: for `afterEach`. */
export async function stopPrograms(): Promise<void> {
  await Promise.all([...running].map((stop) => stop()));
}

/**
 * Starts a program that listens, and waits until it does.
 *
 * @param files by name: the program, and the files beside it
 * @param entry the name of the program
 * @param env added to the environment
 */
export async function startProgram(
  files: Readonly<Record<string, string>>,
  entry: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Program> {
  const { child, output, interrupt, stop } = await spawnProgram(
    files,
    entry,
    env,
  );
  await until(
    () => /LISTENING \d+\n/.test(output()) || child.exitCode !== null,
    `${entry} listening`,
    START_LIMIT,
  );
  const port = output().match(/LISTENING (\d+)/)?.[1];
  if (!port) throw new Error(`Cannot start ${entry} as it ended: ${output()}`);
  return {
    url: `http://127.0.0.1:${port}`,
    output,
    printed: (text) => until(() => output().includes(text), `"${text}"`),
    interrupt,
    stop,
  };
}

/** Runs a program to its end; throws with its output when it fails. */
export async function runProgram(
  files: Readonly<Record<string, string>>,
  entry: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { child, output, stop } = await spawnProgram(files, entry, env);
  try {
    await until(() => child.exitCode !== null, `${entry} end`, START_LIMIT);
    if (child.exitCode !== 0) throw new Error(`${entry}: ${output()}`);
    return output();
  } finally {
    await stop();
  }
}

/** Type-checks programs in TypeScript, all at once; throws with the compiler's output. Deno only. */
export async function checkPrograms(
  files: Readonly<Record<string, string>>,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "programs-"));
  try {
    const paths = Object.keys(files).map((name) => join(dir, name));
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(dir, name), text);
    }
    const child = spawn(
      process.execPath,
      ["check", ...flags(dir), ...paths],
      { cwd: dir, env: { ...process.env, NO_COLOR: "1" } },
    );
    const output = outputOf(child);
    const [code] = await once(child, "close", { timeout: START_LIMIT });
    if (code !== 0) throw new Error(output());
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function outputOf(child: ChildProcess): () => string {
  let printed = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding("utf8").on("data", (text) => printed += text);
  }
  return () => printed;
}

interface Spawned extends Pick<Program, "output" | "interrupt" | "stop"> {
  readonly child: ChildProcess;
}

async function spawnProgram(
  files: Readonly<Record<string, string>>,
  entry: string,
  env: Readonly<Record<string, string>>,
): Promise<Spawned> {
  const dir = mkdtempSync(join(DENO ? tmpdir() : HERE, "program-"));
  const anyPort = new URL("./any_port.ts", import.meta.url).href;
  const start = `import "${anyPort}";\nimport "./${runnable(entry)}";\n`;
  for (const [name, text] of Object.entries({ ...files, [START]: start })) {
    writeFileSync(join(dir, runnable(name)), await toRun(name, text));
  }
  const args = DENO ? ["run", "-A", "--no-check", ...flags(dir)] : [];
  const child = spawn(process.execPath, [...args, join(dir, START)], {
    cwd: dir,
    env: { ...process.env, ...env, NO_COLOR: "1" },
  });
  const output = outputOf(child);
  const closed = once(child, "close", { timeout: 2 * START_LIMIT });
  let stopping: Promise<void> | undefined;
  const stop = () =>
    stopping ??= (async () => {
      running.delete(stop);
      child.kill("SIGKILL");
      await settles(closed, `the end of ${entry}`);
      rmSync(dir, { recursive: true });
    })();
  const interrupt = async () => {
    // Deno's child.kill() counts as the end even where the child handles the signal
    process.kill(child.pid!, "SIGINT");
    await settles(closed, `the end of ${entry} after SIGINT`);
    return child.exitCode;
  };
  running.add(stop);
  return { child, output, interrupt, stop };
}

/** Deno runs TypeScript; the supported versions of Node need JavaScript. */
function runnable(name: string): string {
  return DENO || !name.endsWith(".ts") ? name : `${name}.js`;
}

async function toRun(name: string, text: string): Promise<string> {
  if (DENO || !name.endsWith(".ts")) return text;
  const { default: ts } = await import("typescript");
  return ts.transpileModule(text, {
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
    },
  }).outputText;
}

/** Flags that make Deno resolve the imports of a program in any directory. */
function flags(dir: string): string[] {
  const path = join(dir, "import_map.json");
  writeFileSync(path, JSON.stringify({ imports: importsOfDeno() }));
  return ["--no-config", "--no-lock", "--import-map", path];
}

/** The import map of a program: this package from its sources, other packages as in deno.json. */
function importsOfDeno(): Record<string, string> {
  const url = new URL("../../../deno.json", import.meta.url);
  const config = JSON.parse(readFileSync(url, "utf8"));
  const imports: Record<string, string> = {};
  for (const [subpath, path] of Object.entries<string>(config.exports)) {
    imports[config.name + subpath.slice(1)] = new URL(path, url).href;
  }
  for (const [name, source] of Object.entries<string>(config.imports)) {
    if (source.startsWith("npm:")) imports[name] = source;
    // where JSR does not answer, this is a stand-in
    else if (name.startsWith("@std/")) {
      imports[name] = import.meta.resolve(name);
    }
  }
  return imports;
}
