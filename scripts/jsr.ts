/** Checks whether JSR is reachable, and provides replacements if it is not. */
import { type Config, npmPackages, readConfig } from "./config.ts";
import { projectUrl } from "./project.ts";

const PROBE = "https://jsr.io/@std/assert/meta.json";
const PROBE_TIMEOUT = 5_000;

const STAND_INS: Readonly<Record<string, string>> = {
  "@std/assert": "tests/offline/assert.ts",
  "@std/testing/bdd": "tests/offline/bdd_deno.ts",
  "@deno/dnt": "tests/offline/dnt.ts",
};

let answer: Promise<boolean> | undefined;

/** Whether JSR is reachable. `JSR=yes` or `JSR=no` in the environment skips the request. */
export function jsrAnswers(): Promise<boolean> {
  return answer ??= ask();
}

async function ask(): Promise<boolean> {
  const setting = Deno.env.get("JSR");
  if (setting === "yes" || setting === "no") return setting === "yes";
  try {
    const signal = AbortSignal.timeout(PROBE_TIMEOUT);
    const response = await fetch(PROBE, { signal });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/**
 * The flags with which `deno test`, `deno check` and similar commands resolve
 * the bare specifiers: none if JSR is reachable, otherwise an import map made
 * from deno.json.
 */
export async function resolutionFlags(dir: string): Promise<string[]> {
  if (await jsrAnswers()) {
    console.log("JSR answers: @std/* come from JSR");
    return [];
  }
  console.log(
    "JSR does not answer: stand-ins of tests/offline/ take the place of @std/*",
  );
  const path = `${dir}/import_map.json`;
  await Deno.writeTextFile(path, JSON.stringify(await offlineMap(), null, 2));
  return ["--import-map", path];
}

async function offlineMap() {
  const config = await readConfig();
  return importMap(config, npmPackages(config), false);
}

/**
 * An import map with these packages from npm, and the rest as deno.json has it.
 *
 * @param packages as {@linkcode npmPackages} returns them
 * @param withJsr whether packages from JSR are taken from there
 */
export function importMap(
  config: Config,
  packages: Readonly<Record<string, string>>,
  withJsr: boolean,
): { imports: Record<string, string> } {
  const imports: Record<string, string> = {};
  for (const [name, range] of Object.entries(packages)) {
    // deno.json covers subpaths, a plain import map does not
    const id = range.startsWith("npm:") ? range.slice(4) : `${name}@${range}`;
    imports[name] = `npm:${id}`;
    imports[`${name}/`] = `npm:/${id}/`;
  }
  for (const [specifier, path] of Object.entries(STAND_INS)) {
    imports[specifier] = withJsr
      ? config.imports[specifier]!
      : projectUrl(path).href;
  }
  return { imports };
}
