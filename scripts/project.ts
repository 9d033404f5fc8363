/** Where things are, and how other programs are run. */

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

/** How many test files run at once: most of their time they wait, for Redis, for ends, for nodes that are frozen. */
export const FILES_AT_ONCE = 4;

/** After this time a program hangs and is ended; in milliseconds. */
const PATIENCE = 300_000;

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
}

/** Runs a program and streams what it says. Resolves to whether it succeeded. */
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
      signal: AbortSignal.timeout(PATIENCE),
    });
    return (await child.spawn().status).success;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.error(`${command} is not installed`);
    return false;
  }
}

/** As {@linkcode run}, for a program without which there is no going on. */
export async function must(
  command: string,
  args: readonly string[],
  options?: RunOptions,
): Promise<void> {
  if (!await run(command, args, options)) {
    throw new Error(`${shortName(command)} ${args[0] ?? ""} failed`);
  }
}

/** What a program writes to stdout, or undefined when it is not there or fails. */
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

// `npx deno` leaves no deno on PATH, so children are started by their path
function shortName(command: string): string {
  return command === Deno.execPath() ? "deno" : command.replace(/^.*\//, "");
}
