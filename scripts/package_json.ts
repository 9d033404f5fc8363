/** The fields of package.json that dnt or `deno pack` cannot derive. */
import { type Config, npmPackages } from "./config.ts";

/** Peer dependencies and their minimum versions. */
const PEERS: Readonly<Record<string, string>> = {
  "koa": ">=2.15.0",
  "socket.io": ">=4.7.0",
};

/** Peers of one store only. */
const OPTIONAL_PEERS: Readonly<Record<string, string>> = {
  "ioredis": ">=5.3.0",
  "pg": ">=8.11.0",
  "redis": ">=4.6.0",
};

/** The repository, on GitHub. */
const REPOSITORY = "koa-io/session";

const HOME = `https://github.com/${REPOSITORY}`;

/** The fields of package.json that are set here. */
export function packageFields({ name, version, license }: Config) {
  return {
    name,
    version,
    license,
    author: "koa-io contributors",
    homepage: `${HOME}#readme`,
    repository: { type: "git", url: `git+${HOME}.git` },
    bugs: { url: `${HOME}/issues` },
    sideEffects: false,
    publishConfig: { access: "public", provenance: true },
    description:
      "One session over HTTP and WebSocket: bridges koa-session and Socket.IO",
    keywords: ["koa", "koa-session", "session", "socket.io", "websocket"],
    engines: { node: ">=20" },
  };
}

/** The published package.json, derived from the generated one. */
export function publishedPackage(
  generated: Record<string, unknown>,
  config: Config,
): Record<string, unknown> {
  const { scripts: _s, devDependencies: _d, module: _m, ...kept } = generated;
  const exports = publishedExports(generated.exports);
  const peers = { ...PEERS, ...OPTIONAL_PEERS };
  return {
    ...kept,
    ...packageFields(config),
    type: "module",
    main: exports["."]?.default,
    types: exports["."]?.types,
    // "moduleResolution": "node10" knows no exports
    typesVersions: { "*": typesOf(exports) },
    exports: { ...exports, "./package.json": "./package.json" },
    // peers are imported as types only, but both builders add every import to
    // the dependencies
    dependencies: { "koa-session": npmPackages(config)["koa-session"] },
    peerDependencies: peers,
    peerDependenciesMeta: Object.fromEntries(
      Object.keys(OPTIONAL_PEERS).map((name) => [name, { optional: true }]),
    ),
  };
}

/** Subpath to declarations, as `typesVersions` has them. */
function typesOf(
  exports: Readonly<Record<string, { readonly types: string }>>,
): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(exports).filter(([subpath]) => subpath !== ".")
      .map(([subpath, { types }]) => [subpath.slice(2), [types]]),
  );
}

// dnt and `deno pack` write different conditions for the same two files
function publishedExports(generated: unknown) {
  const exports: Record<string, { types: string; default: string }> = {};
  for (const [subpath, entry] of Object.entries(generated as object)) {
    const path: string = entry.import.default ?? entry.import;
    exports[subpath] = { types: path.replace(/\.js$/, ".d.ts"), default: path };
  }
  return exports;
}
