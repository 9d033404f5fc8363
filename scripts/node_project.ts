/** An npm project with the installed package and the tests compiled for Node. */
import ts from "typescript";
import { lockedPackages, readConfig } from "./config.ts";
import { exists, filesBelow, must, outputOf, projectDir } from "./project.ts";

/** Tests that do not run on Node: they need Deno or the sources. */
const DENO_ONLY = [
  /^tests\/unit\//,
  /^tests\/offline\//,
  /types_test\.ts$/,
  /browser_test\.ts$/,
  /_deno_test\.ts$/,
];

/** Packages that no test on Node uses; the types of Koa do not compile beside those of express. */
const NOT_ON_NODE = ["@arethetypeswrong/cli", "express", "publint", "tar"];

export interface NodeProject {
  readonly dir: string;
  /** The test files, relative to `dir`. */
  readonly tests: readonly string[];
}

/** Packs npm/, installs the tarball and the tests' packages into `dir`, and copies the tests. */
export async function nodeProject(dir: string): Promise<NodeProject> {
  const config = await readConfig();
  await must("npm", ["pack", "--silent", "--pack-destination", dir], {
    cwd: `${projectDir}npm`,
  });
  const tarball = [...Deno.readDirSync(dir)].find(({ name }) =>
    name.endsWith(".tgz")
  );
  const packages = Object.entries(await lockedPackages(config));
  const dependencies = {
    ...Object.fromEntries(
      packages.filter(([name]) => !NOT_ON_NODE.includes(name)),
    ),
    "@types/node": "^20.0.0",
    [config.name]: `file:${tarball!.name}`,
  };
  await writeJson(`${dir}/package.json`, {
    private: true,
    type: "module",
    dependencies,
  });
  await must("npm", [
    "install",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
  ], { cwd: dir });
  await standIns(`${dir}/node_modules/@std`);
  return { dir, tests: await copyTests(dir) };
}

async function standIns(dir: string): Promise<void> {
  const packages = {
    assert: { ".": "assert" },
    testing: { "./bdd": "bdd_node" },
  };
  for (const [name, modules] of Object.entries(packages)) {
    const exports: Record<string, string> = {};
    for (const [subpath, file] of Object.entries(modules)) {
      const source = `${projectDir}tests/offline/${file}.ts`;
      exports[subpath] = `./${file}.js`;
      await transpile(source, `${dir}/${name}/${file}.js`);
    }
    await writeJson(`${dir}/${name}/package.json`, {
      name: `@std/${name}`,
      type: "module",
      exports,
    });
  }
}

async function copyTests(dir: string): Promise<string[]> {
  const tests: string[] = [];
  const files = (await filesBelow(`${projectDir}tests`))
    .map((path) => path.slice(projectDir.length))
    .filter((path) => !DENO_ONLY.some((pattern) => pattern.test(path)));
  for (const path of files) {
    if (!path.endsWith(".ts")) {
      await copy(projectDir + path, `${dir}/${path}`);
      continue;
    }
    const target = path.replace(/\.ts$/, ".js");
    await transpile(projectDir + path, `${dir}/${target}`);
    if (path.endsWith("_test.ts")) tests.push(target);
  }
  // tests of documents and examples read these files beside tests/
  const top = [
    "README.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "ARCHITECTURE.md",
    "bench/README.md",
  ];
  const folders = ["docs", "examples", "bench/results"];
  const beside = (await Promise.all(folders.map(below))).flat()
    .filter((path) => !/^examples\/(?:cluster|demo)\//.test(path));
  for (const path of [...top, ...beside]) {
    if (await exists(projectDir + path)) {
      await copy(projectDir + path, `${dir}/${path}`);
    }
  }
  return tests;
}

async function below(folder: string): Promise<string[]> {
  if (!await exists(projectDir + folder)) return [];
  const files = await filesBelow(projectDir + folder);
  return files.map((path) => path.slice(projectDir.length));
}

async function transpile(from: string, to: string): Promise<void> {
  const source = await Deno.readTextFile(from);
  const { outputText } = ts.transpileModule(source, {
    fileName: from,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      rewriteRelativeImportExtensions: true,
      inlineSourceMap: true,
    },
  });
  await Deno.mkdir(to.replace(/\/[^/]*$/, ""), { recursive: true });
  // children are started by URL, which the compiler does not rewrite
  await Deno.writeTextFile(
    to,
    outputText.replace(
      /(new URL\(\s*"\.\.?\/[^"]+)\.ts"(?=,\s*import\.meta\.url)/g,
      '$1.js"',
    ),
  );
}

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to.replace(/\/[^/]*$/, ""), { recursive: true });
  await Deno.copyFile(from, to);
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await Deno.writeTextFile(path, JSON.stringify(value, null, 2));
}

/** The major version of a Node executable, or undefined if it does not run. */
export async function nodeMajor(node: string): Promise<number | undefined> {
  const version = await outputOf(node, ["--version"]);
  return version ? Number(version.match(/^v(\d+)/)?.[1]) : undefined;
}
