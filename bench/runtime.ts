/** The runtimes of the measured processes: Deno runs the sources, Node their compiled form. */
import { type Config, npmPackages, readConfig } from "../scripts/config.ts";
import { exists, filesBelow, must, outputOf } from "../scripts/project.ts";
import { projectDir } from "../scripts/project.ts";
import ts from "typescript";
import type { Runtime } from "./child.ts";

/** Packages that only the benchmark needs, with the versions in its imports. */
const OWN_PACKAGES = /"npm:((?:@[^/"]+\/)?[^@"]+)@([^"]+)"/g;

/** Packages of deno.json that the measured processes import. */
const NEEDED = ["koa", "koa-session", "socket.io", "redis", "pg"];

/**
 * Deno, with the sources of a directory.
 *
 * @param source the directory of mod.ts: this project, or another version of it
 * @param dir directory for the import map
 */
export async function denoRuntime(
  source: string,
  dir: string,
): Promise<Runtime> {
  const flags = ["run", "-A", "--no-check", "--v8-flags=--expose-gc"];
  if (source !== projectDir) {
    const map = `${dir}/import_map.json`;
    await Deno.writeTextFile(map, JSON.stringify(await importMap(source)));
    flags.push("--no-lock", "--import-map", map);
  }
  return {
    name: "Deno",
    version: Deno.version.deno,
    program: Deno.execPath(),
    flags,
    path: (file) => `${projectDir}bench/${file}.ts`,
  };
}

async function importMap(source: string): Promise<object> {
  const config = await readConfig();
  const imports: Record<string, string> = { ...config.imports };
  for (const [name, path] of Object.entries(config.exports)) {
    imports[name.replace(".", config.name)] = new URL(
      path,
      `file://${source}`,
    ).href;
  }
  return { imports };
}

/**
 * Node, in a project with the compiled package and benchmark.
 *
 * @param node the executable
 * @param source the directory of mod.ts
 * @param dir directory for the project
 */
export async function nodeRuntime(
  node: string,
  source: string,
  dir: string,
): Promise<Runtime> {
  const config = await readConfig();
  await compile(`${projectDir}bench`, `${dir}/bench`);
  const dependencies = { ...needed(config), ...await ownPackages() };
  await writeJson(`${dir}/package.json`, { type: "module", dependencies });
  if (!await exists(`${dir}/node_modules`)) {
    const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
    await must("npm", ["install", ...quiet], { cwd: dir });
  }
  const home = `${dir}/node_modules/${config.name}`;
  await compile(`${source}src`, `${home}/src`);
  await compileFile(`${source}mod.ts`, `${home}/mod.js`);
  const exports = Object.fromEntries(
    Object.entries(config.exports)
      .map(([name, path]) => [name, path.replace(/\.ts$/, ".js")]),
  );
  await writeJson(`${home}/package.json`, { type: "module", exports });
  return {
    name: "Node",
    version: (await outputOf(node, ["--version"]))!.slice(1),
    program: node,
    flags: ["--expose-gc"],
    path: (file) => `${dir}/bench/${file}.js`,
  };
}

function needed(config: Config): Record<string, string> {
  const packages = npmPackages(config);
  return Object.fromEntries(NEEDED.map((name) => [name, packages[name]!]));
}

async function ownPackages(): Promise<Record<string, string>> {
  const packages: Record<string, string> = {};
  for (const path of await filesBelow(`${projectDir}bench/targets`)) {
    const source = await Deno.readTextFile(path);
    for (const [line, name, range] of source.matchAll(OWN_PACKAGES)) {
      if (!line.includes("@types/")) packages[name!] = range!;
    }
  }
  return packages;
}

async function compile(from: string, to: string): Promise<void> {
  for (const path of await filesBelow(from)) {
    if (!path.endsWith(".ts")) continue;
    const name = path.slice(from.length).replace(/\.ts$/, ".js");
    await compileFile(path, to + name);
  }
}

async function compileFile(from: string, to: string): Promise<void> {
  const { outputText } = ts.transpileModule(await Deno.readTextFile(from), {
    fileName: from,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      rewriteRelativeImportExtensions: true,
    },
  });
  await Deno.mkdir(to.replace(/\/[^/]*$/, ""), { recursive: true });
  await Deno.writeTextFile(to, outputText.replace(OWN_PACKAGES, '"$1"'));
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
  await Deno.writeTextFile(path, JSON.stringify(value, null, 2));
}
