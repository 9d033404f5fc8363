/** `deno task test`: every suite, and a line with the totals. */
import { buildNpm } from "./build_npm.ts";
import { denoSuite } from "./deno_suite.ts";
import { resolutionFlags } from "./jsr.ts";
import { packageChecks } from "./package_checks.ts";
import { nodeSuite } from "./node_suite.ts";
import { add, addFailure, emptyTally, summary, type Tally } from "./tally.ts";

const total = emptyTally();
const dir = await Deno.makeTempDir({ prefix: "koa-io-session-" });
try {
  const resolution = await resolutionFlags(dir);
  add(total, await denoSuite(dir, resolution));
  add(total, await npmSuite(`${dir}/node_project`));
} finally {
  await Deno.remove(dir, { recursive: true });
}
if (Deno.env.get("CI") === "true" && total.skipped > 0) {
  console.error(`\nWith CI=true nothing may be skipped: ${total.skipped} were`);
  total.failed += total.skipped;
  total.skipped = 0;
}
console.log(`\n${summary(total)}`);
Deno.exit(total.failed > 0 ? 1 : 0);

async function npmSuite(dir: string): Promise<Tally> {
  try {
    await buildNpm();
    const tally = await packageChecks();
    await Deno.mkdir(dir);
    add(tally, await nodeSuite(dir));
    return tally;
  } catch (error) {
    console.error(error);
    const tally = emptyTally();
    addFailure(tally, "The npm package was not built or tested");
    return tally;
  }
}
