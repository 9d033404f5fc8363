/**
 * Simulations from the command line.
 *
 * deno task simulate --seeds=1000
 * deno task simulate --seeds=1001-2000
 */
import process from "node:process";
import { programOf } from "./program.ts";
import { describeFailure, shrink } from "./shrink.ts";
import { simulate } from "./world.ts";

const { first, last, verbose, keep } = optionsOf(process.argv.slice(2));
let failures = 0;
const started = performance.now();
for (let seed = first; seed <= last; seed++) {
  const program = programOf(seed);
  const { violations } = await simulate(program);
  if (violations.length === 0 && !verbose) continue;
  failures++;
  console.log(`seed ${seed}: ${violations[0]}`);
  if (keep) continue;
  const smallest = verbose ? program : await shrink(program);
  console.log(await describeFailure(smallest));
}
const seconds = (performance.now() - started) / 1_000;
console.log(
  `${last - first + 1} seeds, ${failures} failures, ${seconds.toFixed(1)} s`,
);
process.exitCode = failures > 0 ? 1 : 0;

function optionsOf(args: readonly string[]) {
  const seeds = args.find((arg) => arg.startsWith("--seeds="))?.slice(8) ??
    "1000";
  const [a, b] = seeds.split("-").map(Number);
  if (!Number.isInteger(a) || (b !== undefined && !Number.isInteger(b))) {
    throw new Error(`Cannot read --seeds as N or A-B: received ${seeds}`);
  }
  return {
    first: b === undefined ? 1 : a!,
    last: b ?? a!,
    /** Prints the timeline of each seed as it is. */
    verbose: args.includes("--verbose"),
    /** Names failing seeds only. */
    keep: args.includes("--list"),
  };
}
