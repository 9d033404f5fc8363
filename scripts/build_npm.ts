/**
 * Builds npm/ with dnt. dnt is on JSR; if JSR is not reachable, `deno pack` is
 * used instead. Both results can be packed and published with npm.
 */
import { cp } from "node:fs/promises";
import { extract } from "tar";
import { type Config, npmPackages, readConfig } from "./config.ts";
import { jsrAnswers } from "./jsr.ts";
import { packageFields, publishedPackage } from "./package_json.ts";
import { exists, filesBelow, must, projectDir } from "./project.ts";

const OUT_DIR = `${projectDir}npm`;
const DOCUMENTS = ["README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md"];

export async function buildNpm(): Promise<void> {
  const config = await readConfig();
  const dnt = import.meta.resolve("@deno/dnt");
  if (!dnt.startsWith("jsr:") || await jsrAnswers()) {
    await buildWithDnt(dnt, config);
  } else {
    console.log("\nJSR does not answer: deno pack builds npm/ in place of dnt");
    await buildWithDenoPack();
  }
  await editFiles();
  await editPackageJson(config);
  for (const name of DOCUMENTS) {
    if (!await exists(projectDir + name)) continue;
    await Deno.copyFile(projectDir + name, `${OUT_DIR}/${name}`);
  }
}

async function buildWithDnt(specifier: string, config: Config): Promise<void> {
  const { build, emptyDir } = await import(
    specifier
  ) as typeof import("@deno/dnt");
  const { "@types/koa": koaTypes = "*" } = npmPackages(config);
  await emptyDir(OUT_DIR);
  await build({
    entryPoints: Object.entries(config.exports).map(([name, path]) => ({
      name,
      path: projectDir + path.replace(/^\.\//, ""),
    })),
    outDir: OUT_DIR,
    // dnt finds it without this option since 0.42
    importMap: `${projectDir}deno.json`,
    shims: {},
    test: false,
    scriptModule: false,
    compilerOptions: {
      target: "ES2022",
      lib: ["ES2023", "ESNext.Disposable", "DOM"],
      noUncheckedIndexedAccess: true,
      useUnknownInCatchVariables: true,
    },
    package: {
      ...packageFields(config),
      // only for the type check of the build
      devDependencies: { "@types/koa": koaTypes, "@types/node": "^20.0.0" },
    },
  });
  for (const leftover of ["node_modules", "package-lock.json", "src"]) {
    await Deno.remove(`${OUT_DIR}/${leftover}`, { recursive: true })
      .catch(() => {});
  }
}

async function buildWithDenoPack(): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "koa-io-session-" });
  try {
    const tarball = `${dir}/package.tgz`;
    await must(Deno.execPath(), [
      "pack",
      "--allow-dirty",
      // source maps would contain the sources and local paths
      "--no-source-maps",
      "-o",
      tarball,
    ]);
    await extract({ file: tarball, cwd: dir });
    await Deno.remove(OUT_DIR, { recursive: true }).catch(() => {});
    await cp(`${dir}/package`, OUT_DIR, { recursive: true });
    // deno pack includes modules that no export reaches, uncompiled
    for (const path of await filesBelow(OUT_DIR)) {
      if (/(?<!\.d)\.ts$/.test(path)) await Deno.remove(path);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/**
 * Edits the compiled files: maps lead to sources that are not in the package,
 * and a default import of types needs `esModuleInterop` in the project of the
 * user.
 */
async function editFiles(): Promise<void> {
  for (const path of await filesBelow(OUT_DIR)) {
    if (path.endsWith(".map")) await Deno.remove(path);
    else if (/\.(?:d\.ts|js)$/.test(path)) {
      const text = await Deno.readTextFile(path);
      const edited = text
        .replace(/\n\/\/# sourceMappingURL=\S+\s*$/, "\n")
        .replace(
          /\bimport type (\w+) from "socket\.io";/g,
          'import type * as $1 from "socket.io";',
        );
      if (edited !== text) await Deno.writeTextFile(path, edited);
    }
  }
}

async function editPackageJson(config: Config): Promise<void> {
  const path = `${OUT_DIR}/package.json`;
  const generated = JSON.parse(await Deno.readTextFile(path));
  const published = publishedPackage(generated, config);
  await Deno.writeTextFile(path, JSON.stringify(published, null, 2) + "\n");
}

if (import.meta.main) await buildNpm();
