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

/** npm package name to version range, for every `npm:` import. */
export function npmPackages(config: Config): Record<string, string> {
  const packages: Record<string, string> = {};
  for (const specifier of Object.values(config.imports)) {
    const match = specifier.match(/^npm:\/?((?:@[^/]+\/)?[^@/]+)@([^/]+)/);
    if (match) packages[match[1]!] = match[2]!;
  }
  return packages;
}
