/** Paths of the project, and helpers that run other programs. */

const root = new URL("../", import.meta.url);

/** The directory of deno.json. */
export const projectDir: string = fromFileUrl(root);

export function projectUrl(path: string): URL {
  return new URL(path, root);
}

export function fromFileUrl(url: URL): string {
  const path = decodeURIComponent(url.pathname);
  return Deno.build.os === "windows"
    ? path.slice(1).replaceAll("/", "\\")
    : path;
}

export async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Every file below a directory, `node_modules` left out; paths begin with `dir`. */
export async function filesBelow(dir: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(dir)) {
    const path = `${dir}/${entry.name}`;
    if (!entry.isDirectory) found.push(path);
    else if (entry.name !== "node_modules") {
      found.push(...await filesBelow(path));
    }
  }
  return found.sort();
}

/** Number of test files that run in parallel: they mostly wait, for Redis, for expiry, for stopped nodes. */
export const FILES_AT_ONCE = 3;

/** Time limit for a program, which is then ended; in milliseconds. */
const TIMEOUT = 900_000;

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
}

/** Runs a program and passes its output through. Resolves to whether it succeeded. */
export async function run(
  command: string,
  args: readonly string[],
  { cwd = projectDir, env = {} }: RunOptions = {},
): Promise<boolean> {
  console.log(`\n$ ${shortName(command)} ${args.join(" ")}`);
  try {
    const child = new Deno.Command(program(command), {
      args: [...args],
      cwd,
      env,
      stdin: "null",
      signal: AbortSignal.timeout(TIMEOUT),
    });
    return (await child.spawn().status).success;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.error(`${command} is not installed`);
    return false;
  }
}

/** As {@linkcode run}, but throws if the program fails. */
export async function must(
  command: string,
  args: readonly string[],
  options?: RunOptions,
): Promise<void> {
  if (!await run(command, args, options)) {
    throw new Error(`${shortName(command)} ${args[0] ?? ""} failed`);
  }
}

/** The output of a program on stdout, or undefined if it is missing or fails. */
export async function outputOf(
  command: string,
  args: readonly string[],
): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command(program(command), {
      args: [...args],
      cwd: projectDir,
      stdin: "null",
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function program(command: string): string {
  return command === "npm" && Deno.build.os === "windows" ? "npm.cmd" : command;
}

// with `npx deno`, deno is not on PATH, so children are started by their path
function shortName(command: string): string {
  return command === Deno.execPath() ? "deno" : command.replace(/^.*\//, "");
}
