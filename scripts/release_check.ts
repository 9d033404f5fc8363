/** Whether a tag can be released: `deno run --allow-read scripts/release_check.ts v1.2.3`. */
import { readConfig } from "./config.ts";
import { fromFileUrl, projectUrl } from "./project.ts";

const [tag] = Deno.args;
const { version } = await readConfig();
const changelog = await Deno.readTextFile(
  fromFileUrl(projectUrl("CHANGELOG.md")),
);
const faults: string[] = [];
if (tag !== `v${version}`) {
  faults.push(`The tag must be v${version}, by deno.json: received ${tag}`);
}
if (!changelog.includes(`\n## [${version}]`)) {
  faults.push(`CHANGELOG.md must have a section ## [${version}]`);
}
for (const fault of faults) console.error(fault);
Deno.exit(faults.length > 0 ? 1 : 0);
