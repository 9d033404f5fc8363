/** `deno task check`: format, lint, types, docs and a dry run of publishing. */
import { readConfig } from "./config.ts";
import { resolutionFlags } from "./jsr.ts";
import { exists, filesBelow, projectDir, run } from "./project.ts";
import { addResult, emptyTally, summary } from "./tally.ts";

const total = emptyTally();
const dir = await Deno.makeTempDir({ prefix: "koa-io-session-" });
try {
  const resolution = await resolutionFlags(dir);
  const modules = Object.values((await readConfig()).exports);
  const steps = [
    ["fmt", "--check"],
    ["lint"],
    ["check", ...resolution, ...await sources()],
    ["doc", ...resolution, "--lint", ...modules],
    ["publish", ...resolution, "--dry-run", "--allow-dirty"],
  ];
  for (const args of steps) {
    addResult(total, `deno ${args[0]}`, await run(Deno.execPath(), args));
  }
} finally {
  await Deno.remove(dir, { recursive: true });
}
console.log(`\n${summary(total)}`);
Deno.exit(total.failed > 0 ? 1 : 0);

async function sources(): Promise<string[]> {
  const found = ["mod.ts"];
  for (const name of ["src", "tests", "examples", "scripts", "bench"]) {
    if (!await exists(projectDir + name)) continue;
    const files = await filesBelow(projectDir + name);
    if (files.some((path) => path.endsWith(".ts"))) found.push(name);
  }
  return found;
}
