/**
 * A page that follows its session with `@koa-io/session/client`.
 *
 * Run `deno run -A examples/client.ts` and open http://localhost:3000 in two
 * tabs. Log in in one, log out in the other: both show it, and reconnect.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import * as nodeModule from "node:module";
import process from "node:process";
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import { bridgeSession, type SessionContext } from "@koa-io/session";

type Session = { user: string };

const app = new Koa<Koa.DefaultState, SessionContext<Session>>();
const io = new Server();
const bridge = bridgeSession<Session>(app, io, {
  key: "client",
  appKeys: ["a long secret that stays the same"],
  maxAge: 60_000,
  expiringNotice: 15_000,
  onSessionEnd: "disconnect",
  view: ({ user }) => ({ user }),
});

const file = new URL(import.meta.resolve("@koa-io/session/client"));
let script = await readFile(file, "utf8");
// the file in the npm package is JavaScript
if (/ts$/.test(file.href)) script = nodeModule.stripTypeScriptTypes(script);

const page = `<button id="login">Log in</button>
  <button id="logout">Log out</button> <ol></ol>
  <script src="/socket.io/socket.io.js"></script>
  <script type="module">
    import { followSession } from "/client.js";
    const client = followSession(io(), { refresh: "/refresh" });
    const log = (text) => document.querySelector("ol")
      .appendChild(document.createElement("li")).textContent = text;
    client.on("view", ({ user }) => log("hello " + user));
    client.on("expiring", () => client.refresh());
    client.on("ended", ({ reason }) => log("ended: " + reason));
    onclick = ({ target: { id } }) => id && fetch(id, { method: "POST" });
  </script>`;

app.use((ctx) => {
  const action = `${ctx.method} ${ctx.path}`;
  if (action === "POST /refresh") return bridge.refresh()(ctx);
  if (action === "POST /login") ctx.session = { user: "ada" };
  if (action === "POST /logout") ctx.session = null;
  ctx.body = action === "GET /client.js" ? script : page;
  ctx.type = ctx.body === page ? "html" : "js";
});

const server = createServer(app.callback());
io.attach(server);
server.listen(process.env.PORT ?? 3000);
