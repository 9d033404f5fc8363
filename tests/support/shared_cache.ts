/** Real proxies with a shared cache, in front of a server of the tests. */
import { spawn } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { freePort } from "./ports.ts";
import { apachePath, nginxPath } from "./requires.ts";
import { once, until } from "./wait.ts";

/** A proxy that runs. */
export interface CachingProxy {
  /** As `http://127.0.0.1:1234`. */
  readonly url: string;
  /** Ends the process, and removes its files. */
  close(): Promise<void>;
}

/** Whether the proxies need a user for their processes. */
const isRoot = process.getuid?.() === 0;

/** Where Debian's modules are, from Debian's program. */
const MODULES = "../lib/apache2/modules";

/**
 * Apache's mod_cache, which stores `Set-Cookie` with the rest of an answer
 * (RFC 9111, section 7.3), and hands both to the next client.
 */
export function startApache(target: string): Promise<CachingProxy> {
  const program = apachePath()!;
  return start((dir, port) => {
    const config = join(dir, "apache.conf");
    const modules = {
      mpm_event_module: "mod_mpm_event.so",
      authz_core_module: "mod_authz_core.so",
      proxy_module: "mod_proxy.so",
      proxy_http_module: "mod_proxy_http.so",
      cache_module: "mod_cache.so",
      cache_disk_module: "mod_cache_disk.so",
    };
    const lines = Object.entries(modules).map(([name, file]) =>
      `LoadModule ${name} ${join(dirname(program), MODULES, file)}`
    );
    writeFileSync(
      config,
      `ServerRoot ${dir}
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
PidFile ${join(dir, "apache.pid")}
ErrorLog ${join(dir, "error.log")}
DefaultRuntimeDir ${dir}
${lines.join("\n")}
${isRoot ? "User www-data\nGroup www-data" : ""}
CacheRoot ${join(dir, "cache")}
CacheEnable disk /
CacheHeader on
ProxyPass / ${target}/
`,
    );
    return [program, "-X", "-f", config];
  });
}

/** nginx, which stores no answer with a `Set-Cookie`. */
export function startNginx(target: string): Promise<CachingProxy> {
  return start((dir, port) => {
    const config = join(dir, "nginx.conf");
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `  ${name}_temp_path ${join(dir, name)};`);
    writeFileSync(
      config,
      `${isRoot ? "user www-data;" : ""}
daemon off;
pid ${join(dir, "nginx.pid")};
error_log ${join(dir, "error.log")};
events {}
http {
  access_log off;
${temporary.join("\n")}
  proxy_cache_path ${join(dir, "cache")} keys_zone=shared:1m;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${target};
      proxy_cache shared;
      add_header X-Cache $upstream_cache_status always;
    }
  }
}
`,
    );
    return [nginxPath()!, "-e", join(dir, "error.log"), "-c", config];
  });
}

/** @param configure writes the configuration, and returns the command */
async function start(
  configure: (dir: string, port: number) => string[],
): Promise<CachingProxy> {
  const dir = mkdtempSync(join(tmpdir(), "koa-io-cache-"));
  mkdirSync(join(dir, "cache"));
  // for the user that the processes change to
  chmodSync(dir, 0o755);
  chmodSync(join(dir, "cache"), 0o777);
  const port = await freePort();
  const [program, ...args] = configure(dir, port);
  const child = spawn(program!, args, {
    stdio: ["ignore", "inherit", "inherit"],
  });
  const url = `http://127.0.0.1:${port}`;
  const close = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit", { timeout: 10_000 });
      child.kill("SIGTERM");
      await exited;
    }
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await until(() => isListening(port), `${program} on port ${port}`);
  } catch (error) {
    await close();
    throw error;
  }
  return { url, close };
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
