/**
 * Sessions in one file, which survive a restart of the process.
 *
 * Run `deno run -A examples/sqlite.ts`, open http://localhost:3000, count, kill
 * the process, and start it again: the counter continues, in the open tab too.
 * `FILE` is the path of the file, by default `sessions.db`.
 */
import { createServer } from "node:http";
import process from "node:process";
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import { bridgeSession, type SessionContext } from "@koa-io/session";
import { SqliteStore } from "@koa-io/session/sqlite";

interface Session {
  count: number;
}

const app = new Koa<Koa.DefaultState, SessionContext<Session>>();
const io = new Server();
const store = new SqliteStore({ path: process.env.FILE ?? "sessions.db" });
const bridge = bridgeSession<Session>(app, io, {
  // both must be the same after a restart, or the cookies are not accepted
  key: "sqlite",
  appKeys: ["a long secret that stays the same"],
  store,
});

app.use((ctx) => {
  ctx.session!.count ??= 0;
  ctx.type = "html";
  ctx.body = `<button>${ctx.session!.count}</button>
    <script src="/socket.io/socket.io.js"></script>
    <script>
      const socket = io();
      document.querySelector("button").onclick = async ({ target }) =>
        target.textContent = await socket.emitWithAck("count");
    </script>`;
});

io.on("connection", (raw) => {
  const socket = bridge.socket(raw);
  socket.onSession("count", ({ session }) => ++session.count, 0);
});

const server = createServer(app.callback());
io.attach(server);
server.listen(process.env.PORT ?? 3000);

process.once("SIGINT", async () => {
  const closed = io.close();
  // io.close() waits for each connection, and browsers keep some that are unused
  server.closeAllConnections();
  await closed;
  await bridge.close();
  await store.close();
});
