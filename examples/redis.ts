/**
 * One session on several processes: sessions in Redis, and an adapter that
 * connects the processes.
 *
 * Run `PORT=3000 deno run -A examples/redis.ts` and the same with `PORT=3001`,
 * against the Redis of `REDIS_URL`, by default the one on this machine. Open
 * both ports in tabs of one browser: they share the counter, and each shows the
 * counts of the other.
 */
import { createServer } from "node:http";
import process from "node:process";
import { createAdapter } from "@socket.io/redis-streams-adapter";
// @ts-types="@types/koa"
import Koa from "koa";
import { createClient } from "redis";
import { Server } from "socket.io";
import { bridgeSession, type SessionContext } from "@koa-io/session";
import { RedisStore } from "@koa-io/session/redis";

interface Session {
  count: number;
}

const url = process.env.REDIS_URL ?? "redis://127.0.0.1:6379";
const client = await createClient({ url }).on("error", console.error).connect();
const app = new Koa<Koa.DefaultState, SessionContext<Session>>();
const io = new Server({ adapter: createAdapter(client) });
const bridge = bridgeSession<Session>(app, io, {
  // the same on all processes
  key: "redis",
  appKeys: ["a long secret that stays the same"],
  store: new RedisStore({ client, prefix: "example:" }),
});

app.use((ctx) => {
  ctx.session!.count ??= 0;
  ctx.type = "html";
  ctx.body = `<button>${ctx.session!.count}</button>
    <script src="/socket.io/socket.io.js"></script>
    <script>
      const socket = io({ transports: ["websocket"] });
      const button = document.querySelector("button");
      button.onclick = () => socket.emit("count");
      socket.on("count", (count) => button.textContent = count);
    </script>`;
});

io.on("connection", (raw) => {
  const socket = bridge.socket(raw);
  socket.onSession("count", ({ session, sessionId }) => {
    bridge.toSession(sessionId).emit("count", ++session.count);
  });
});

const server = createServer(app.callback());
io.attach(server);
server.listen(process.env.PORT ?? 3000);
