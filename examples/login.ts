/**
 * A login that gives the session a new id and connects the sockets of the
 * browser again, and a logout on all devices. Both follow from the option `user`.
 *
 * Run `deno run -A examples/login.ts`, open http://localhost:3000 in two
 * browsers, log in in both, log out everywhere in one: both are logged out.
 */
import { createServer } from "node:http";
import process from "node:process";
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import { bridgeSession, type SessionContext } from "@koa-io/session";

type Session = { user?: string };

const app = new Koa<Koa.DefaultState, SessionContext<Session>>();
const io = new Server();
const bridge = bridgeSession<Session>(app, io, {
  key: "login",
  appKeys: ["a long secret that stays the same"],
  sameSite: "lax",
  // a change of the user gives a new session id, and closes the connections of
  // the browser's tabs: they come back with the new cookies
  user: (session) => session.user,
  onSessionEnd: { disconnectAfter: 200 },
});

app.use(async (ctx) => {
  const user = ctx.session?.user ?? "";
  switch (`${ctx.method} ${ctx.path}`) {
    case "POST /login":
      // a real login checks a password here
      ctx.session = { user: "ada" };
      return ctx.redirect("/");
    case "POST /logout":
      ctx.session = null;
      return ctx.redirect("/");
    case "POST /logout-everywhere":
      if (user) await bridge.destroyUser(user);
      return ctx.redirect("/");
  }
  const { length } = user ? await bridge.sessionsOf(user) : [];
  ctx.type = "html";
  ctx.body = `<form method="post">${user || "nobody"}: ${length} sessions
      <button formaction="/login">Log in</button>
      <button formaction="/logout">Log out</button>
      <button formaction="/logout-everywhere">Log out everywhere</button>
    </form><output></output>
    <script src="/socket.io/socket.io.js"></script>
    <script>
      io().on("session:end", ({ reason }) =>
        document.querySelector("output").value = "Ended: " + reason);
    </script>`;
});

const server = createServer(app.callback());
io.attach(server);
server.listen(process.env.PORT ?? 3000);
