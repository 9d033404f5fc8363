/**
 * `deno task bench`: the cost of the bridge compared with other packages, or
 * with itself at another commit.
 *
 *     deno task bench [--quick] [--runtime=node,node@24,deno] [--node=/path/to/node]
 *                     [--only=throughput,crowd,memory,growth,cleanup,stores]
 *     deno task bench --against=REV [--scenario=HTTP] [--quick] [--runtime=…] [--node=…]
 */
import { parseArgs } from "node:util";
import { neededNode, NEWEST_NODE } from "../scripts/node_suite.ts";
import { exists, must, outputOf, projectDir } from "../scripts/project.ts";
import { resolve } from "node:path";
import { measureAll, type Part, PARTS, pinning } from "./measure.ts";
import { pairs, pairTable, verdict } from "./pairs.ts";
import { FULL, PAIRS, QUICK, QUICK_PAIRS } from "./plan.ts";
import { table } from "./report.ts";
import { denoRuntime, nodeRuntime } from "./runtime.ts";
import { writeResults } from "./write.ts";
import type { Runtime } from "./child.ts";

const { values: options } = parseArgs({
  args: Deno.args,
  options: {
    quick: { type: "boolean", default: false },
    runtime: { type: "string" },
    node: { type: "string", default: "node" },
    only: { type: "string", default: PARTS.join(",") },
    against: { type: "string" },
    scenario: { type: "string", default: "" },
  },
});

const dir = await Deno.makeTempDir({ prefix: "koa-io-session-" });
const since = performance.now();
let slower = 0;
try {
  if (options.against) slower = await compare(options.against);
  else await measure();
} finally {
  await Deno.remove(dir, { recursive: true });
}
console.log(`\n${((performance.now() - since) / 1000).toFixed(0)} s`);
Deno.exit(slower > 0 ? 1 : 0);

/** The bridge beside other packages. */
async function measure(): Promise<void> {
  const parts = options.only.split(",") as Part[];
  const all = [];
  for (const name of await runtimes()) {
    const runtime = await runtimeOf(name, projectDir, `${dir}/now`);
    if (!runtime) continue;
    const load = await runtimeOf("node", projectDir, `${dir}/now`) ?? runtime;
    const results = await measureAll({
      runtime,
      load,
      parts,
      plan: options.quick ? QUICK : FULL,
      quick: options.quick,
    });
    console.log(`\n${table(results)}`);
    all.push(results);
  }
  if (parts.length === PARTS.length) {
    await writeResults(all, options.quick ? "quick" : "full");
  }
}

/**
 * The bridge beside itself at another commit.
 *
 * @param rev a revision, or a directory with other sources
 * @returns how many scenarios became slower
 */
async function compare(rev: string): Promise<number> {
  const isDirectory = await exists(`${rev}/mod.ts`);
  const other = isDirectory ? resolve(rev) : `${dir}/before_sources`;
  const only = options.scenario;
  const git = (...args: string[]) =>
    must("git", ["worktree", ...args], { cwd: projectDir });
  if (!isDirectory) await git("add", "--detach", other, rev);
  let slower = 0;
  try {
    for (const name of await runtimes()) {
      const now = await runtimeOf(name, projectDir, `${dir}/now`);
      const before = await runtimeOf(name, `${other}/`, `${dir}/before`);
      if (!now || !before) continue;
      const load = await runtimeOf("node", projectDir, `${dir}/now`) ?? now;
      const plan = options.quick ? QUICK_PAIRS : PAIRS;
      const cores = await pinning();
      const measured = await pairs({ before, now, load, cores, plan, only });
      console.log(`\n${now.name} ${now.version}\n\n${pairTable(measured)}`);
      slower += measured.filter((pair) => verdict(pair) === "slower").length;
    }
  } finally {
    if (!isDirectory) await git("remove", "--force", other);
  }
  console.log(
    slower > 0
      ? `\n${slower} scenarios are slower`
      : "\nNo scenario is slower by more than 3 %",
  );
  return slower;
}

async function hasNode(): Promise<boolean> {
  return await outputOf(options.node, ["--version"]) !== undefined;
}

/** By default the Node at hand and Deno, and the newest Node without `--against`; one for a quick run. */
async function runtimes(): Promise<string[]> {
  if (options.runtime) return options.runtime.split(",");
  if (options.quick) return [await hasNode() ? "node" : "deno"];
  return options.against
    ? ["node", "deno"]
    : ["node", `node@${NEWEST_NODE}`, "deno"];
}

async function runtimeOf(
  name: string,
  source: string,
  dir: string,
): Promise<Runtime | undefined> {
  await Deno.mkdir(dir, { recursive: true });
  if (name === "deno") return await denoRuntime(source, dir);
  const [, version] = name.match(/^node@(\d+)$/) ?? [];
  if (version) {
    const node = await neededNode(`${dir}/${name}`, Number(version));
    return await nodeRuntime(node, source, dir);
  }
  if (!await hasNode()) {
    console.log("There is no Node here, so it is not measured");
    return undefined;
  }
  return await nodeRuntime(options.node, source, dir);
}
