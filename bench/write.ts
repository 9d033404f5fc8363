/** Writes the results to bench/results/. */
import { projectDir } from "../scripts/project.ts";
import { chart } from "./chart.ts";
import { table } from "./report.ts";
import type { Results } from "./results.ts";

/** Writes JSON per runtime, and one Markdown file and one chart for all. */
export async function writeResults(
  all: readonly Results[],
  name: string,
): Promise<void> {
  const dir = `${projectDir}bench/results`;
  await Deno.mkdir(dir, { recursive: true });
  for (const results of all) {
    // as in "node20" and "deno2"
    const [runtime] = results.runtime.toLowerCase().replace(" ", "").split(".");
    await Deno.writeTextFile(
      `${dir}/${name}_${runtime}.json`,
      JSON.stringify(results, null, 2) + "\n",
    );
  }
  const tables = all.map(table).join("\n\n");
  await Deno.writeTextFile(`${dir}/${name}.md`, tables + "\n");
  await Deno.writeTextFile(`${dir}/${name}.svg`, await chart(all));
}
