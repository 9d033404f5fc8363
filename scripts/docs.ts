/** `deno task docs`: the reference of every export as HTML, in reference/. */
import { readConfig } from "./config.ts";
import { resolutionFlags } from "./jsr.ts";
import { projectDir, run } from "./project.ts";

const OUTPUT = "reference";

const dir = await Deno.makeTempDir({ prefix: "koa-io-session-" });
try {
  const { name, exports } = await readConfig();
  const done = await run(Deno.execPath(), [
    "doc",
    ...await resolutionFlags(dir),
    "--html",
    `--name=${name}`,
    `--output=${projectDir}${OUTPUT}`,
    ...Object.values(exports),
  ]);
  if (!done) Deno.exit(1);
  console.log(`\nopen ${OUTPUT}/index.html`);
} finally {
  await Deno.remove(dir, { recursive: true });
}
