/**
 * `deno task test:peers`: the tests with the oldest and with the newest
 * versions of the peers, instead of those that `deno.json` names.
 *
 *     deno task test:peers            # both
 *     deno task test:peers oldest
 *     deno task test:peers newest tests/stores/redis_store_test.ts
 */
import { npmPackages, readConfig } from "./config.ts";
import { importMap, jsrAnswers } from "./jsr.ts";
import { FILES_AT_ONCE, run } from "./project.ts";

/** Package to version range. */
type Versions = Readonly<Record<string, string>>;

/** The ends of the ranges that README names. */
const ENDS: Readonly<Record<string, Versions>> = {
  oldest: {
    "ioredis": "5.3.0",
    "koa": "2.15.0",
    "koa-session": "7.0.0",
    "pg": "8.11.0",
    "redis": "4.6.0",
    "socket.io": "4.7.0",
    "socket.io-client": "4.7.0",
  },
  newest: {
    "connect-redis": "^10.0.0",
    "ioredis": "^6.0.0",
    "koa": "^3.0.0",
    "koa-session": "^7.0.2",
    "pg": "^8.16.0",
    "redis": "^6.0.0",
    "socket.io": "^4.8.1",
    "socket.io-client": "^4.8.1",
  },
};

/**
 * Left out with the oldest: adapters, stores of others and servers other than
 * Node's, which need newer versions themselves.
 */
const NEEDS_NEWER: readonly string[] = [
  "tests/identity/user_change_cluster_test.ts",
  "tests/lifecycle/cluster_recovery_test.ts",
  "tests/lifecycle/cluster_rooms_test.ts",
  "tests/lifecycle/cluster_test.ts",
  "tests/lifecycle/cluster_workers_test.ts",
  "tests/sockets/origin_engines_test.ts",
  "tests/stores/packages_test.ts",
  "tests/stores/redis_cluster_test.ts",
  "tests/stores/redis_grants_test.ts",
];

/** The tests that use the peers. */
const TESTS = [
  "bridge",
  "http",
  "identity",
  "lifecycle",
  "sockets",
  "stores",
  "transaction",
].map((name) => `tests/${name}`);

const [end, ...paths] = Deno.args;
const ends = end === undefined ? Object.keys(ENDS) : [end];
const tests = paths.length > 0 ? paths : TESTS;
let failed = false;
for (const name of ends) {
  const versions = ENDS[name];
  if (!versions) {
    throw new TypeError(
      `Cannot test the peers as the argument must be ${
        Object.keys(ENDS).join(" or ")
      }: received ${name}`,
    );
  }
  console.log(`\nThe ${name} peers: ${describe(versions)}`);
  const ignored = name === "oldest" ? NEEDS_NEWER : [];
  if (!await testWith(versions, ignored)) failed = true;
}
Deno.exit(failed ? 1 : 0);

function describe(versions: Versions): string {
  return Object.entries(versions).map(([name, range]) => `${name}@${range}`)
    .join(", ");
}

async function testWith(
  versions: Versions,
  ignored: readonly string[],
): Promise<boolean> {
  const dir = await Deno.makeTempDir({ prefix: "koa-io-session-" });
  try {
    const config = await readConfig();
    const packages = { ...npmPackages(config), ...versions };
    const map = importMap(config, packages, await jsrAnswers());
    const path = `${dir}/import_map.json`;
    await Deno.writeTextFile(path, JSON.stringify(map, null, 2));
    return await run(Deno.execPath(), [
      "test",
      "-A",
      "--parallel",
      // the types of other versions differ from those that the tests name
      "--no-check",
      "--no-lock",
      "--import-map",
      path,
      ...ignored.length > 0 ? [`--ignore=${ignored.join(",")}`] : [],
      ...tests,
    ], { env: { DENO_JOBS: String(FILES_AT_ONCE) } });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
