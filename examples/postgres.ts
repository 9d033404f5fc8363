/**
 * One session on several processes: sessions and messages in PostgreSQL.
 *
 * Run `PORT=3000 deno run -A examples/postgres.ts` and the same with
 * `PORT=3001`, against the database of `DATABASE_URL`. Open both ports in tabs
 * of one browser: they share the counter, and each shows the counts of the other.
 */
import { createServer } from "node:http";
import process from "node:process";
import { createAdapter } from "@socket.io/postgres-adapter";
// @ts-types="@types/koa"
import Koa from "koa";
// @ts-types="@types/pg"
import pg from "pg";
import { Server } from "socket.io";
import { bridgeSession, type SessionContext } from "@koa-io/session";
import { PostgresStore } from "@koa-io/session/postgres";

type Session = { count: number };

const connectionString = process.env.DATABASE_URL ?? "postgres://127.0.0.1";
const store = new PostgresStore({ pool: new pg.Pool({ connectionString }) });
await store.migrate();
const messages = new pg.Pool({ connectionString }).on("error", console.error);
messages.on("connect", (client) => client.on("error", () => {}));
const app = new Koa<Koa.DefaultState, SessionContext<Session>>();
const io = new Server({ adapter: createAdapter(messages) });
const bridge = bridgeSession<Session>(app, io, {
  key: "postgres", // the same on all processes
  appKeys: ["a long secret that stays the same"],
  store,
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
