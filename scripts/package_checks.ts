/** Checks of the built npm package, whichever builder made it. */
import { npmPackages, readConfig } from "./config.ts";
import { filesBelow, projectDir, run } from "./project.ts";
import { addResult, emptyTally, type Tally } from "./tally.ts";

const OUT_DIR = `${projectDir}npm`;

/** Packages that the modules may import beside their own files. */
const IMPORTED = /^(?:node:|koa-session$)/;

const TOOLS = [
  ["publint", "--strict", OUT_DIR],
  [
    "@arethetypeswrong/cli",
    "--pack",
    OUT_DIR,
    "--profile",
    "esm-only",
    "--format",
    "ascii",
    "--quiet",
  ],
] as const;

/** Checks npm/ by publint, by arethetypeswrong, and by what its files contain. */
export async function packageChecks(): Promise<Tally> {
  console.log("\nThe npm package");
  const packages = npmPackages(await readConfig());
  const faults = await contentFaults();
  const tally = emptyTally();
  const contents = ["Contents of the npm package", ...faults].join("\n");
  addResult(tally, contents, faults.length === 0);
  for (const [name, ...args] of TOOLS) {
    const specifier = `npm:${name}@${packages[name]}`;
    const ok = await run(Deno.execPath(), ["run", "-A", specifier, ...args]);
    addResult(tally, name, ok);
  }
  return tally;
}

/** What must not be in the package, as text. */
async function contentFaults(): Promise<string[]> {
  const faults: string[] = [];
  for (const path of await filesBelow(OUT_DIR)) {
    const name = path.slice(OUT_DIR.length + 1);
    if (/_dnt\.|\.map$|(?<!\.d)\.ts$/.test(name)) {
      faults.push(`${name} must not be in the package`);
    }
    if (!name.endsWith(".js")) continue;
    const text = await Deno.readTextFile(path);
    const imports = [
      ...text.matchAll(/^(?:import|export)\b[^;]*?\bfrom\s*"([^"]+)"/gm),
      ...text.matchAll(/^import\s*"([^"]+)"/gm),
    ].map(([, specifier]) => specifier!);
    const isAlone = /(?:^|\/)src\/client\.js$/.test(name);
    for (const specifier of imports) {
      if (isAlone || !specifier.startsWith(".") && !IMPORTED.test(specifier)) {
        faults.push(`${name} must not import ${specifier}`);
      }
    }
  }
  return faults;
}
