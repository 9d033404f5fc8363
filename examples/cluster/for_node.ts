/** Prepares the server for Node: compiles it to JavaScript and installs packages. */
import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const OLDEST_NODE = 20;
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SOURCES = ["mod.ts", "src", "examples"];
const PACKAGES = [
  "@koa/bodyparser",
  "@koa/router",
  "@socket.io/redis-streams-adapter",
  "koa",
  "koa-session",
  "koa-static",
  "redis",
  "socket.io",
];

/** The command that starts the server on Node. */
export interface NodeProgram {
  readonly command: string;
  readonly args: readonly string[];
  /** Removes the temporary files. */
  remove(): void;
}

/** Prepares the server for Node, or returns the reason why it cannot. */
export function prepareNode(): NodeProgram | string {
  const { stdout, error } = spawnSync("node", ["--version"]);
  if (error) return "There is no Node here";
  const version = String(stdout).trim();
  if (Number(version.match(/^v(\d+)/)?.[1]) < OLDEST_NODE) {
    return `Node ${version} is too old`;
  }
  const dir = mkdtempSync(join(tmpdir(), "koa-io-session-"));
  const remove = () => rmSync(dir, { recursive: true, force: true });
  const config = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));
  for (const path of SOURCES) transpileAll(dir, path);
  writeFileSync(
    join(dir, "package.json"),
    JSON.stringify(packageJson(config), null, 2),
  );
  // the packages are in Deno's cache already
  const installed = spawnSync(process.execPath, ["install", "--quiet"], {
    cwd: dir,
    encoding: "utf8",
  });
  if (installed.status !== 0) {
    remove();
    return `The packages cannot be installed for Node (${
      installed.stderr.trim().split("\n").at(-1)
    })`;
  }
  const args = [join(dir, "examples/cluster/server.js")];
  return { command: "node", args, remove };
}

/** A package.json with exports, so that the package can be imported by name. */
function packageJson(
  { name, imports, exports }: {
    readonly name: string;
    readonly imports: Readonly<Record<string, string>>;
    readonly exports: Readonly<Record<string, string>>;
  },
): object {
  return {
    name,
    type: "module",
    exports: Object.fromEntries(
      Object.entries(exports).map(([subpath, path]) => [subpath, js(path)]),
    ),
    dependencies: Object.fromEntries(
      PACKAGES.map((dependency) => [
        dependency,
        imports[dependency]!.replace(/^npm:@?[^@]+@/, ""),
      ]),
    ),
  };
}

function transpileAll(dir: string, path: string): void {
  if (!path.endsWith(".ts") && !/\.\w+$/.test(path)) {
    for (const name of readdirSync(join(ROOT, path))) {
      transpileAll(dir, `${path}/${name}`);
    }
    return;
  }
  const target = join(dir, js(path));
  mkdirSync(dirname(target), { recursive: true });
  const source = readFileSync(join(ROOT, path), "utf8");
  writeFileSync(target, path.endsWith(".ts") ? transpiled(source) : source);
}

function transpiled(source: string): string {
  return ts.transpileModule(source, {
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      rewriteRelativeImportExtensions: true,
    },
  }).outputText;
}

function js(path: string): string {
  return path.replace(/\.ts$/, ".js");
}
