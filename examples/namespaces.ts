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

interface Session {
  role: "visitor" | "staff";
}

const app = new Koa<Koa.DefaultState, SessionContext<Session>>();
const io = new Server();
const bridge = bridgeSession<Session>(app, io, {
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
io.of("/staff").use((raw, next) => {
  bridge.socket(raw).withSession(({ session }) => session.role, null).then(
    (role) =>
      next(role === "staff" ? undefined : new Error("For the staff only")),
    next,
  );
}).on("connection", (socket) => socket.emit("hello", "among the staff"));

io.of(/^\/room-\w+$/).on("connection", (raw) => {
  bridge.socket(raw).withSession(({ session }) => session.role, "guest").then(
    (role) => raw.emit("hello", `a ${role} in ${raw.nsp.name}`),
    console.error,
  );
});

const server = createServer(app.callback());
io.attach(server);
server.listen(process.env.PORT ?? 3000);
