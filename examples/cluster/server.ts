/** One of the processes: the demo, with its sessions in Redis. Started by main.ts. */
import { createServer } from "node:http";
import process from "node:process";
// @ts-types="@types/koa"
import Koa from "koa";
import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { bridgeSession } from "@koa-io/session";
import { RedisStore } from "@koa-io/session/redis";
import { guardRequests } from "../demo/guard.ts";
import { servePage } from "../demo/page.ts";
import { type App, serveApi } from "../demo/routes.ts";
import type { DemoSession } from "../demo/session.ts";
import { answerSockets } from "../demo/sockets.ts";
import { linkProcesses } from "./links.ts";

const { PORTS = "3000", OWN_PORT = "3000", REDIS_PORT = "6379", APP_KEY } =
  process.env;
if (!APP_KEY) throw new Error("Cannot start by itself: start main.ts");

const runtime = process.versions.deno
  ? `Deno ${process.versions.deno}`
  : `Node ${process.versions.node}`;
const name = `${runtime}, process ${process.pid}`;

const client = createClient({ url: `redis://127.0.0.1:${REDIS_PORT}` });
client.on("error", (error) => console.error(`redis: ${error.message}`));
await client.connect();

const app: App = new Koa();
const io = new Server({
  adapter: createAdapter(client, {
    streamName: "demo:stream",
    channelPrefix: "demo",
    // the adapter checks at this interval whether it was closed
    blockTimeInMs: 1_000,
  }),
});
const store = new RedisStore({ client, prefix: "demo:" });
const bridge = bridgeSession<DemoSession>(app, io, {
  store,
  // the same in all processes
  appKeys: [APP_KEY],
  key: "demo.sid",
  sameSite: "lax",
  user: (session) => session.user,
});
bridge.on("error", (error) => console.error(error));
bridge.on("sessionConflict", ({ sessionId }) => {
  bridge.toSession(sessionId).emit("conflict");
});

guardRequests(app);
serveApi(app, bridge);
linkProcesses(app, PORTS.split(","), OWN_PORT, name);
app.use(servePage());
answerSockets(io, bridge);

const server = createServer(app.callback());
io.attach(server);
server.once("error", (error) => {
  console.error(`Cannot listen on port ${OWN_PORT}: ${error.message}`);
  process.exit(1);
});
server.listen(Number(OWN_PORT), "127.0.0.1", () => console.log(name));

let closing = false;
process.on("SIGTERM", () => void close());
// the parent process has ended
process.stdin.on("end", () => void close()).on("error", () => void close())
  .resume();

async function close(): Promise<void> {
  if (closing) return;
  closing = true;
  const closed = io.close();
  server.closeAllConnections();
  await closed;
  await bridge.close();
  await store.close();
  process.exit();
}
