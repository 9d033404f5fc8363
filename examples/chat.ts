/**
 * Messages between users, each sent to all tabs and devices of both.
 *
 * Run `deno run -A examples/chat.ts` and open http://localhost:3000 in two
 * browsers. Log in under two names, and send messages.
 */
import { createServer } from "node:http";
import process from "node:process";
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import { bridgeSession } from "@koa-io/session";
import type { SessionContext } from "@koa-io/session";

type Session = { user?: string };

const app = new Koa<Koa.DefaultState, SessionContext<Session>>();
const io = new Server();
const bridge = bridgeSession<Session>(app, io, {
  key: "chat",
  appKeys: ["a long secret that stays the same"],
  user: (session) => session.user,
});

app.use((ctx) => {
  if (ctx.method === "POST") {
    ctx.session = { user: `${ctx.query.name}` };
    return void (ctx.status = 204);
  }
  ctx.type = "html";
  ctx.body = `<button>My name is…</button>
    <form><input name="to"> <input name="text"> <button>Send</button></form>
    <script src="/socket.io/socket.io.js"></script>
    <script>
      const socket = io();
      socket.on("message", ({ from, to, text }) =>
        document.body.append(from + " to " + to + ": " + text,
          document.createElement("br")));
      document.querySelector("button").onclick = () =>
        fetch("?name=" + encodeURIComponent(prompt()), { method: "POST" });
      document.forms[0].onsubmit = ({ target: { to, text } }) =>
        (socket.emit("message", to.value, text.value), false);
    </script>`;
});

io.on("connection", (raw) => {
  const socket = bridge.socket(raw);
  socket.onSession("message", ({ session: { user: from } }, to, text) => {
    const message = { from, to: `${to}`, text: `${text}` };
    // to the rooms of both users only, on every process
    if (!from) return;
    bridge.toUser(from).emit("message", message);
    if (message.to !== from) bridge.toUser(message.to).emit("message", message);
  });
});

const server = createServer(app.callback());
io.attach(server);
server.listen(process.env.PORT ?? 3000);
