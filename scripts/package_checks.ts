/** Checks of the built npm package, whichever builder made it. */
import { npmPackages, readConfig } from "./config.ts";
import { filesBelow, projectDir, run } from "./project.ts";
import { emptyTally, type Tally } from "./tally.ts";

const OUT_DIR = `${projectDir}npm`;

/** Packages that the modules may import beside their own files. */
const IMPORTED = /^(?:node:|koa-session$)/;

/** Checks npm/ by publint, by arethetypeswrong, and by what its files contain. */
export async function packageChecks(): Promise<Tally> {
  console.log("\nThe npm package");
  const packages = npmPackages(await readConfig());
  const tool = (name: string) => `npm:${name}@${packages[name]}`;
  const faults = await contentFaults();
  for (const fault of faults) console.error(fault);
  const results = [
    faults.length === 0,
    await run(Deno.execPath(), [
      "run",
      "-A",
      tool("publint"),
      "--strict",
      OUT_DIR,
    ]),
    await run(Deno.execPath(), [
      "run",
      "-A",
      tool("@arethetypeswrong/cli"),
      "--pack",
      OUT_DIR,
      "--profile",
      "esm-only",
      "--format",
      "ascii",
      "--quiet",
    ]),
  ];
  const passed = results.filter((ok) => ok).length;
  return { ...emptyTally(), passed, failed: results.length - passed };
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
