/**
 * The demo: `deno task example` serves it on http://localhost:3000.
 * `PORT` sets the port, `HOST=0.0.0.0` accepts other machines, and with
 * `FILE=demo.db` the sessions are kept in a SQLite file and survive a crash.
 */
import process from "node:process";
import { startDemo } from "./server.ts";

const port = Number(process.env.PORT || 3000);
const host = process.env.HOST || "127.0.0.1";
const file = process.env.FILE;

if (!Number.isInteger(port) || port < 0 || port > 65_535) {
  fail(
    `Cannot start the demo as PORT must be a port number: received ${process.env.PORT}`,
  );
}

try {
  const demo = await startDemo({ port, host, file });
  const stop = () => {
    // a second signal kills the process
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
    void demo.close();
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  console.log(`The demo is on ${demo.url}`);
  if (file) console.log(`Sessions are kept in ${file}`);
  console.log("Open it in two tabs. Ctrl+C ends it.");
} catch (error) {
  const { code, message } = error as Error & { code?: string };
  fail(
    code === "EADDRINUSE"
      ? `Cannot start the demo as port ${port} is taken: choose another, as in PORT=${
        port + 1
      } deno task example`
      : `Cannot start the demo: ${message}`,
  );
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}
