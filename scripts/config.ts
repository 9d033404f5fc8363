/** Reads deno.json, the only place for name, version, exports and imports. */
import { fromFileUrl, projectUrl } from "./project.ts";

/** The fields of deno.json that the scripts use. */
export interface Config {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** Subpath (`"."`, `"./redis"`) to module path. */
  readonly exports: Readonly<Record<string, string>>;
  /** Bare specifier to where it comes from. */
  readonly imports: Readonly<Record<string, string>>;
}

export async function readConfig(): Promise<Config> {
  const config = JSON.parse(
    await Deno.readTextFile(fromFileUrl(projectUrl("deno.json"))),
  );
  const { exports } = config;
  return {
    ...config,
    exports: typeof exports === "string" ? { ".": exports } : exports,
  };
}

/**
 * The packages from npm, as package.json names them: import name to version
 * range, or to `npm:package@range` where a package is imported by another name.
 */
export function npmPackages(config: Config): Record<string, string> {
  const packages: Record<string, string> = {};
  for (const [name, specifier] of Object.entries(config.imports)) {
    const match = specifier.match(/^npm:\/?((?:@[^/]+\/)?[^@/]+)@([^/]+)/);
    if (!match) continue;
    const [, id, range] = match;
    packages[name] = name === id ? range! : `npm:${id}@${range}`;
  }
  return packages;
}

/** The same packages, each in the version that deno.lock has. */
export async function lockedPackages(
  config: Config,
): Promise<Record<string, string>> {
  const text = await Deno.readTextFile(fromFileUrl(projectUrl("deno.lock")));
  const { specifiers } = JSON.parse(text) as {
    specifiers: Record<string, string>;
  };
  const locked: Record<string, string> = {};
  for (const [name, range] of Object.entries(npmPackages(config))) {
    const [, id = name, wanted = range] =
      range.match(/^npm:((?:@[^/]+\/)?[^@]+)@(.+)/) ?? [];
    const versions = Object.entries(specifiers)
      .filter(([specifier]) => specifier.startsWith(`npm:${id}@`))
      .map(([, version]) => version.replace(/_.*/, ""));
    const version = versions.find((version) =>
      majorOf(version) === majorOf(wanted)
    );
    const exact = version ?? wanted;
    locked[name] = id === name ? exact : `npm:${id}@${exact}`;
  }
  return locked;
}

function majorOf(range: string): string | undefined {
  return range.match(/\d+/)?.[0];
}
