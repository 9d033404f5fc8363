/** Programs that a test needs, and what happens where they are missing. */
import { it } from "@std/testing/bdd";
import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";

const CHROMIUM = [
  "chromium",
  "chromium-browser",
  "google-chrome",
  "google-chrome-stable",
];

/** The path of a Chromium: `CHROMIUM_PATH`, else the first one on `PATH`. */
export function chromiumPath(): string | undefined {
  return process.env.CHROMIUM_PATH || onPath(CHROMIUM);
}

/** The path of redis-server: `REDIS_SERVER_PATH`, else the one on `PATH`. */
export function redisServerPath(): string | undefined {
  return process.env.REDIS_SERVER_PATH || onPath(["redis-server"]);
}

/** The directory of PostgreSQL's programs: `POSTGRES_BIN`, else Debian's newest, else that of `initdb` on `PATH`. */
export function postgresBin(): string | undefined {
  const debian = newestDebianPostgres();
  const found = process.env.POSTGRES_BIN || debian || onPath(["initdb"]);
  if (!found) return undefined;
  const dir = isDirectory(found) ? found : dirname(found);
  return isExecutable(join(dir, "postgres")) ? dir : undefined;
}

function newestDebianPostgres(): string | undefined {
  const dir = "/usr/lib/postgresql";
  if (!isDirectory(dir)) return undefined;
  return readdirSync(dir).sort((a, b) => Number(b) - Number(a))
    .map((version) => `${dir}/${version}/bin`)
    .find((bin) => isExecutable(`${bin}/initdb`));
}

/** The path of Apache: `APACHE_PATH`, else the one on `PATH`, where Debian calls it apache2. */
export function apachePath(): string | undefined {
  return process.env.APACHE_PATH || onPath(["apache2"], ["/usr/sbin"]);
}

/** The path of nginx: `NGINX_PATH`, else the one on `PATH`. */
export function nginxPath(): string | undefined {
  return process.env.NGINX_PATH || onPath(["nginx"], ["/usr/sbin"]);
}

/**
 * A test that needs a program. Where it is missing, the test is skipped with a notice, and fails with `CI=true`, where nothing may be skipped.
 *
 * @param what what is needed, as in "Chromium"
 * @param available whether it is there, as from {@linkcode chromiumPath}
 */
export function itNeeds(
  what: string,
  available: unknown,
  name: string,
  body: () => void | Promise<void>,
): void {
  if (available) {
    it(name, body);
  } else if (process.env.CI === "true") {
    it(name, () => {
      throw new Error(
        `${what} is missing, and CI=true lets nothing be skipped`,
      );
    });
  } else {
    console.log(`!!! SKIPPED: ${name}: there is no ${what} here`);
    it.skip(name, body);
  }
}

/** @param more directories of servers, which the `PATH` of users leaves out */
function onPath(
  names: readonly string[],
  more: readonly string[] = [],
): string | undefined {
  const dirs = [...(process.env.PATH ?? "").split(delimiter), ...more]
    .filter(Boolean);
  for (const name of names) {
    const path = dirs.map((dir) => join(dir, name)).find(isExecutable);
    if (path) return path;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
