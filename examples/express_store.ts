/**
 * A store of express-session. Any such store works, within one process.
 *
 * Run `deno run -A examples/express_store.ts` and open http://localhost:3000
 * in two tabs: requests and sockets count together.
 */
import { createServer } from "node:http";
import process from "node:process";
import expressSession from "express-session";
// @ts-types="@types/koa"
import Koa from "koa";
import createMemoryStore from "memorystore";
import { Server } from "socket.io";
import { bridgeSession, type SessionContext } from "@koa-io/session";
import { type ExpressStore, fromExpressStore } from "@koa-io/session/compat";

type Session = { count?: number };

const MemoryStore = createMemoryStore(expressSession);
// the cast is not needed beside @types/express-session
const store = new MemoryStore({ checkPeriod: 60_000 }) as unknown;
const app = new Koa<Koa.DefaultState, SessionContext<Session>>();
const io = new Server();
const bridge = bridgeSession<Session>(app, io, {
  key: "express",
  appKeys: ["a long secret that stays the same"],
  store: fromExpressStore(store as ExpressStore),
});

app.use(async (ctx) => {
  const count = await ctx.withSession(({ session }) => {
    return session.count = (session.count ?? 0) + 1;
  }, () => {
    // only a request begins a session
    return ctx.session!.count = 1;
  });
  ctx.type = "html";
  ctx.body = `<button>${count}</button>
    <script src="/socket.io/socket.io.js"></script>
    <script>
      const socket = io();
      document.querySelector("button").onclick = async ({ target }) =>
        target.textContent = await socket.emitWithAck("count");
    </script>`;
});

io.on("connection", (raw) => {
  const socket = bridge.socket(raw);
  socket.onSession("count", ({ session }) => ++session.count!, 0);
});

const server = createServer(app.callback());
io.attach(server);
server.listen(process.env.PORT ?? 3000);
