/**
 * A page of active devices, without an id in it: ends one, or all others.
 *
 * Run `deno run -A examples/devices.ts`, open http://localhost:3000 in two
 * browsers, log in in both, and end one of them from the other.
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
  key: "devices",
  appKeys: ["a long secret that stays the same"],
  sameSite: "lax",
  user: (session) => session.user,
  maxSessions: 5,
  meta: (ctx) => ({ address: ctx.ip, browser: ctx.get("user-agent") }),
  onSessionEnd: "disconnect",
});

/** Text of a client, such as its User-Agent, escaped. */
const html = (text: unknown) =>
  `${text}`.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);

app.use(async (ctx) => {
  const [user, current] = [ctx.session?.user, ctx.sessionId];
  if (ctx.method === "POST") {
    // a real login checks a password here
    if (ctx.path === "/login") ctx.session = { user: "ada" };
    else if (user && current) {
      const only = `${ctx.query.handle}`;
      const others = ctx.path === "/end-others";
      await bridge.destroyUser(user, others ? { except: current } : { only });
    }
    return ctx.redirect("/");
  }
  const devices = user ? await bridge.sessionsOf(user, { current }) : [];
  const items = devices.map(({ handle, current, lastUsed = 0, meta }) =>
    `<li>${html(meta?.browser)} at ${html(meta?.address)},
      ${current ? "this device" : new Date(lastUsed).toUTCString()}
      <button formaction="/end?handle=${handle}">End</button></li>`
  );
  ctx.type = "html";
  ctx.body = `<form method="post">${user ?? "a guest"}<ul>${items.join("")}</ul>
      <button formaction="/login">Log in</button>
      <button formaction="/end-others">End all others</button></form>
    <script src="/socket.io/socket.io.js"></script>
    <script>io().on("session:end", () => location.reload());</script>`;
});
const server = createServer(app.callback());
io.attach(server);
server.listen(process.env.PORT ?? 3000);
