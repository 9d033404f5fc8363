/**
 * Types: the session data is declared once, and `ctx.session`, `withSession`,
 * the options and the socket events are typed by it.
 *
 * Run `deno run -A examples/typed.ts` and open http://localhost:3000. Then
 * misspell `items` below, or add a number to them, and run `deno check`.
 */
import { createServer } from "node:http";
import process from "node:process";
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import { bridgeSession, type ClientEvents } from "@koa-io/session";
import type { SessionContext } from "@koa-io/session";

interface Cart {
  user?: string;
  items: string[];
}
interface FromClient {
  add: (item: string, reply: (items: readonly string[]) => void) => void;
}
interface ToClient extends ClientEvents {
  added: (item: string) => void;
}

const app = new Koa<Koa.DefaultState, SessionContext<Cart>>();
const io = new Server<FromClient, ToClient>();
const bridge = bridgeSession<Cart>(app, io, {
  key: "cart",
  appKeys: ["a long secret that stays the same"],
  user: ({ user }) => user,
});
bridge.on("sessionEnd", ({ reason }) => console.log(`end: ${reason}`));

app.use((ctx) => {
  ctx.session!.items ??= [];
  ctx.body = { items: ctx.session!.items, client: ctx.clientId.length };
});

io.on("connection", (raw) => {
  const socket = bridge.socket(raw);
  socket.onSession("add", ({ session, socket }, item) => {
    session.items.push(item);
    socket.emit("added", item);
    return session.items;
  }, []);
});

const server = createServer(app.callback());
io.attach(server);
server.listen(process.env.PORT ?? 3000);
