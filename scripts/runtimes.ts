/**
 * `deno task test:runtimes`: the behaviour tests on other runtimes, which come
 * from npm, against the npm package.
 *
 *     deno task test:runtimes              # Node 22 and 26, and Bun
 *     deno task test:runtimes bun node@22
 */
import { buildNpm } from "./build_npm.ts";
import { nodeProject } from "./node_project.ts";
import { neededNode, runNode } from "./node_suite.ts";
import { FILES_AT_ONCE, must, run } from "./project.ts";
import { add, addResult, emptyTally, summary } from "./tally.ts";

const names = Deno.args.length > 0 ? Deno.args : ["node@22", "node@26", "bun"];
const total = emptyTally();
const dir = await Deno.makeTempDir({ prefix: "koa-io-session-" });
try {
  await buildNpm();
  const project = `${dir}/project`;
  await Deno.mkdir(project);
  const { tests } = await nodeProject(project);
  for (const name of names) {
    const [, version] = name.match(/^node@(\d+)$/) ?? [];
    if (version) {
      const node = await neededNode(`${dir}/${name}`, Number(version));
      add(total, await runNode(node, project, tests));
    } else if (name === "bun") {
      addResult(total, "Bun", await runBun(`${dir}/bun`, project, tests));
    } else {
      throw new TypeError(
        `Cannot test a runtime as it must be bun or node@N: received ${name}`,
      );
    }
  }
} finally {
  await Deno.remove(dir, { recursive: true });
}
console.log(`\n${summary(total)}`);
Deno.exit(total.failed > 0 ? 1 : 0);

async function runBun(
  dir: string,
  project: string,
  tests: readonly string[],
): Promise<boolean> {
  await Deno.mkdir(dir);
  await Deno.writeTextFile(`${dir}/package.json`, `{"private":true}`);
  await must("npm", ["install", "--no-audit", "--no-fund", "bun"], {
    cwd: dir,
  });
  const bun = `${dir}/node_modules/bun/bin/bun.exe`;
  let ok = true;
  // a process for each few files: Bun runs the files of one in one process
  for (let at = 0; at < tests.length; at += FILES_AT_ONCE) {
    const some = tests.slice(at, at + FILES_AT_ONCE).map((path) => `./${path}`);
    const args = ["test", "--timeout", "90000", ...some];
    if (!await run(bun, args, { cwd: project })) ok = false;
  }
  return ok;
}
