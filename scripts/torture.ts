/** `deno task torture`: see tests/torture/main.ts, which takes the arguments. */
import { resolutionFlags } from "./jsr.ts";
import { projectDir } from "./project.ts";

const dir = await Deno.makeTempDir({ prefix: "koa-io-session-" });
try {
  // it runs for as long as it is told, so without the time limit of other programs
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      ...await resolutionFlags(dir),
      "tests/torture/main.ts",
      ...Deno.args,
    ],
    cwd: projectDir,
  }).spawn().status;
  Deno.exitCode = code;
} finally {
  await Deno.remove(dir, { recursive: true });
}
