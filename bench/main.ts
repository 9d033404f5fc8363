/**
 * `deno task bench`: the cost of the bridge compared with other packages.
 *
 *     deno task bench [--quick] [--runtime=node,deno] [--node=/path/to/node]
 *                     [--only=throughput,memory,growth,cleanup,stores]
 *                     [--against=/path/to/other/sources]
 */
import { parseArgs } from "node:util";
import { outputOf, projectDir } from "../scripts/project.ts";
import { resolve } from "node:path";
import { measureAll, type Part, PARTS } from "./measure.ts";
import { FULL, QUICK } from "./plan.ts";
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
  },
});

const dir = await Deno.makeTempDir({ prefix: "koa-io-session-" });
const since = performance.now();
try {
  const parts = options.only.split(",") as Part[];
  const all = [];
  for (const name of await runtimes()) {
    const runtime = await runtimeOf(name, projectDir, `${dir}/now`);
    if (!runtime) continue;
    const before = options.against &&
      await runtimeOf(name, `${resolve(options.against)}/`, `${dir}/before`);
    const load = await runtimeOf("node", projectDir, `${dir}/now`) ?? runtime;
    const results = await measureAll({
      runtime,
      before: before || undefined,
      load,
      parts,
      plan: options.quick ? QUICK : FULL,
      quick: options.quick,
    });
    console.log(`\n${table(results)}`);
    all.push(results);
  }
  const whole = parts.length === PARTS.length && !options.against;
  if (whole) await writeResults(all, options.quick ? "quick" : "full");
} finally {
  await Deno.remove(dir, { recursive: true });
}
console.log(`\n${((performance.now() - since) / 1000).toFixed(0)} s`);

async function hasNode(): Promise<boolean> {
  return await outputOf(options.node, ["--version"]) !== undefined;
}

/** By default both runtimes; one for a quick run. */
async function runtimes(): Promise<string[]> {
  if (options.runtime) return options.runtime.split(",");
  if (!options.quick) return ["node", "deno"];
  return [await hasNode() ? "node" : "deno"];
}

async function runtimeOf(
  name: string,
  source: string,
  dir: string,
): Promise<Runtime | undefined> {
  await Deno.mkdir(dir, { recursive: true });
  if (name === "deno") return await denoRuntime(source, dir);
  if (!await hasNode()) {
    console.log("There is no Node here, so it is not measured");
    return undefined;
  }
  return await nodeRuntime(options.node, source, dir);
}
