/**
 * Sessions in every namespace, including dynamic ones: one for the staff only,
 * and one for each room.
 *
 * Run `deno run -A examples/namespaces.ts`, open http://localhost:3000, and
 * press the buttons. `/staff` refuses visitors.
 */
import { createServer } from "node:http";
import process from "node:process";
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import { bridgeSession, type SessionContext } from "@koa-io/session";
import type { SessionSocket } from "@koa-io/session";

interface Session {
  role: "visitor" | "staff";
}

const app = new Koa<Koa.DefaultState, SessionContext<Session>>();
const io = new Server();
bridgeSession<Session>(app, io, {
  key: "namespaces",
  appKeys: ["a long secret that stays the same"],
});

app.use((ctx) => {
  ctx.session = { role: ctx.query.staff === "yes" ? "staff" : "visitor" };
  ctx.type = "html";
  ctx.body = `You are of the ${ctx.session!.role}.
    <a href="?staff=yes">Be of the staff</a>
    <button>/staff</button> <button>/room-1</button> <output></output>
    <script src="/socket.io/socket.io.js"></script>
    <script>
      const say = (text) => document.querySelector("output").value = text;
      onclick = ({ target: { textContent: nsp } }) =>
        nsp[0] === "/" && io(nsp, { forceNew: true }).on("hello", say)
          .on("connect_error", ({ message }) => say(message));
    </script>`;
});

// the bridge's own middleware has run before this one
io.of("/staff").use(async (raw, next) => {
  const socket = raw as SessionSocket<Session>;
  const role = await socket.withSession(({ session }) => session.role, null);
  next(role === "staff" ? undefined : new Error("For the staff only"));
}).on("connection", (socket) => socket.emit("hello", "among the staff"));

io.of(/^\/room-\w+$/).on("connection", async (raw) => {
  const socket = raw as SessionSocket<Session>;
  const role = await socket.withSession(({ session }) => session.role, "guest");
  socket.emit("hello", `a ${role} in ${socket.nsp.name}`);
});

const server = createServer(app.callback());
io.attach(server);
server.listen(process.env.PORT ?? 3000);
