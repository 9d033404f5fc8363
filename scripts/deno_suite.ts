/** The tests under Deno, and the examples in the docs. */
import { exists, FILES_AT_ONCE, projectDir, run } from "./project.ts";
import {
  add,
  addFailure,
  emptyTally,
  type Tally,
  tallyOfJunit,
} from "./tally.ts";

/** Runs tests/ with the sanitizers, then the examples in docstrings and Markdown. */
export async function denoSuite(
  dir: string,
  resolution: readonly string[],
): Promise<Tally> {
  const total = emptyTally();
  const sanitizers = ["--sanitize-ops", "--sanitize-resources"];
  const suites = [
    [...sanitizers, "tests"],
    ["--doc", ...await present(["mod.ts", "src", "README.md", "docs"])],
  ];
  for (const args of suites) {
    const report = `${dir}/junit.xml`;
    const ok = await run(Deno.execPath(), [
      "test",
      "-A",
      "--parallel",
      ...resolution,
      `--junit-path=${report}`,
      ...args,
    ], { env: { DENO_JOBS: String(FILES_AT_ONCE) } });
    const tally = await exists(report)
      ? tallyOfJunit(await Deno.readTextFile(report))
      : emptyTally();
    // a module that does not compile reports no cases
    if (!ok && tally.failed === 0) {
      addFailure(tally, `deno test ${args.join(" ")}`);
    }
    add(total, tally);
    await Deno.remove(report).catch(() => {});
  }
  return total;
}

async function present(paths: string[]): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) {
    if (await exists(projectDir + path)) found.push(path);
  }
  return found;
}
