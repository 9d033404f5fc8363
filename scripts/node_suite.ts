/** The behaviour tests, run by Node against the installed npm package. */
import { readConfig } from "./config.ts";
import { nodeMajor, nodeProject } from "./node_project.ts";
import { exists, FILES_AT_ONCE, run } from "./project.ts";
import {
  add,
  addFailure,
  addResult,
  emptyTally,
  type Tally,
  tallyOfTap,
} from "./tally.ts";

/** The newest supported Node; tested in addition to the installed one. */
export const NEWEST_NODE = 24;

/** Time limit for a test, and for all tests of a file; in milliseconds. */
const TEST_TIMEOUT = 240_000;

/** The long tests, which do not depend on the version of Node: they run on the installed one. */
const ON_ONE_NODE =
  /\/(journeys\/(?!sqlite)|stores\/(postgres|redis|conformance_kit|encrypted_kit|session_store_kit|packages)|docs\/)/;

/** Runs the tests on each available Node. A missing Node is reported as skipped. */
export async function nodeSuite(dir: string): Promise<Tally> {
  const total = emptyTally();
  const atHand = await nodeMajor("node");
  if (atHand === undefined) {
    return skipped("there is no Node here, so the npm package is not tested");
  }
  const project = await nodeProject(dir);
  add(total, await consumerCompiles(dir));
  add(total, await runNode("node", project.dir, project.tests));
  if (atHand === NEWEST_NODE) return total;
  const newest = await installedNode(`${dir}/newest_node`, NEWEST_NODE);
  add(
    total,
    newest
      ? await runNode(
        newest,
        project.dir,
        project.tests.filter((path) => !ON_ONE_NODE.test(path)),
      )
      : skipped(`npm supplies no Node ${NEWEST_NODE} for this machine`),
  );
  return total;
}

/** Runs tests of a project on a Node. */
export async function runNode(
  node: string,
  dir: string,
  tests: readonly string[],
): Promise<Tally> {
  const name = `Node ${await nodeMajor(node)}, with the npm package`;
  console.log(`\n${name}`);
  const report = `${dir}/report.tap`;
  const ok = await run(node, [
    "--test",
    `--test-concurrency=${FILES_AT_ONCE}`,
    `--test-timeout=${TEST_TIMEOUT}`,
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    "--test-reporter=tap",
    `--test-reporter-destination=${report}`,
    ...tests,
  ], { cwd: dir });
  const tally = await exists(report)
    ? tallyOfTap(await Deno.readTextFile(report))
    : emptyTally();
  if (!ok && tally.failed === 0) addFailure(tally, "node --test");
  tally.failures = tally.failures.map((failure) => `${name}: ${failure}`);
  return tally;
}

/** How consumers may resolve modules: by `exports`, and before there were any. */
const RESOLUTIONS = [["nodenext", "nodenext"], ["es2022", "node10"]] as const;

/** Compiles a program that imports every export, with tsc and without `skipLibCheck` and `esModuleInterop`. */
async function consumerCompiles(dir: string): Promise<Tally> {
  const { name, exports } = await readConfig();
  const lines = Object.keys(exports).map((subpath, i) =>
    `export * as m${i} from "${name}${subpath.slice(1)}";`
  );
  await Deno.mkdir(`${dir}/consumer`);
  await Deno.writeTextFile(`${dir}/consumer/main.ts`, lines.join("\n"));
  console.log("\nA TypeScript consumer without skipLibCheck");
  const total = emptyTally();
  for (const [module, resolution] of RESOLUTIONS) {
    const ok = await run("node", [
      "node_modules/typescript/bin/tsc",
      "--noEmit",
      "--strict",
      "--exactOptionalPropertyTypes",
      "--skipLibCheck",
      "false",
      ...resolution === "node10" ? ["--esModuleInterop", "false"] : [],
      "--target",
      "es2022",
      "--lib",
      "es2023,dom,esnext.disposable",
      "--module",
      module,
      "--moduleResolution",
      resolution,
      "consumer/main.ts",
    ], { cwd: dir });
    addResult(total, `A TypeScript consumer, module ${module}`, ok);
  }
  return total;
}

/** Installs a Node from npm into `dir`; its path, or `undefined` where npm has none for this machine. */
export async function installedNode(
  dir: string,
  major: number,
): Promise<string | undefined> {
  const { os, arch } = Deno.build;
  const platform = os === "windows" ? "win" : os;
  const name = `node-${platform}-${arch === "aarch64" ? "arm64" : "x64"}`;
  await Deno.mkdir(dir);
  await Deno.writeTextFile(`${dir}/package.json`, `{"private":true}`);
  await run("npm", [
    "install",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
    `${name}@${major}`,
  ], { cwd: dir });
  const binary = `${dir}/node_modules/${name}/bin/node`;
  return await nodeMajor(binary) === major ? binary : undefined;
}

/** As {@linkcode installedNode}, but throws where npm has none. */
export async function neededNode(dir: string, major: number): Promise<string> {
  const node = await installedNode(dir, major);
  if (!node) throw new Error(`npm supplies no Node ${major} for this machine`);
  return node;
}

function skipped(reason: string): Tally {
  console.log(`\n!!! SKIPPED: ${reason}`);
  return { ...emptyTally(), skipped: 1 };
}
