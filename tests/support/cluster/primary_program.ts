/** Forks nodes with `node:cluster`, and forwards their lines. Arguments: their ports, and their configuration. */
import { setupPrimary } from "@socket.io/cluster-adapter";
import cluster from "node:cluster";
import process from "node:process";
import { fileURLToPath } from "node:url";

const [ports, config] = process.argv.slice(2) as [string, string];
cluster.setupPrimary({
  exec: fileURLToPath(new URL("./node_program.ts", import.meta.url)),
  args: [config],
});
setupPrimary();
for (const port of ports.split(",")) cluster.fork({ LISTEN: port });
