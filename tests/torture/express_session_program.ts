/** The same node on express-session with connect-redis, its sockets by the recipe of Socket.IO's documentation: `io.engine.use()`, and `reload()` and `save()` around a change. A logout ends the session of its own cookie. */
import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import { writeSync } from "node:fs";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
} from "node:http";
import process from "node:process";
import { Server } from "socket.io";
import { connectClient } from "../support/cluster/messengers.ts";
import type { NodeConfig } from "../support/cluster/processes.ts";
import { pause } from "../support/wait.ts";
import type { Tortured } from "./history.ts";

const METHODS = ["reload", "save", "regenerate", "destroy"] as const;

/** The session of a request, as far as it is used here; both packages come without types. */
type Held =
  & Tortured
  & { cookie?: unknown }
  & Record<typeof METHODS[number], (done: (error?: unknown) => void) => void>;

interface Asked extends IncomingMessage {
  readonly path: string;
  readonly query: Record<string, string>;
  readonly session: Held;
}

interface Answering {
  json(body: object): void;
}

const { port, prefix, listen }: NodeConfig = JSON.parse(process.argv[2]!);
const client = await connectClient(port, []);
const sessions = session({
  name: "sid",
  secret: "a key of the torture",
  resave: false,
  saveUninitialized: false,
  store: new RedisStore({ client, prefix }),
});

/** Calls a method of a session that takes a callback. */
function done(held: Held, method: typeof METHODS[number]): Promise<void> {
  return new Promise((resolve, reject) => {
    held[method]((error) => error ? reject(error) : resolve());
  });
}

async function append(held: Held, token: string, ms: number): Promise<object> {
  if (!held.login) return {};
  const list = [...held.list ?? []];
  await pause(ms);
  held.list = [...list, token];
  return { login: held.login };
}

const app = express();
app.use(sessions);
const handle = async (req: Asked, res: Answering) => {
  const { token, user, login, ms } = req.query;
  const held = req.session;
  switch (req.path) {
    case "/login":
      await done(held, "regenerate");
      Object.assign(req.session, { user, login, list: [] });
      return void res.json({ login });
    case "/append":
      return void res.json(await append(held, token!, Number(ms)));
    case "/patch":
      if (held.login) held[`k-${token}`] = 1;
      return void res.json({ login: held.login });
    case "/regenerate": {
      const { cookie: _, ...data } = held;
      if (held.login) {
        await done(held, "regenerate");
        const { login, user, list } = data;
        Object.assign(req.session, { login, user, list });
        for (const key in data) {
          if (key.startsWith("k-")) Object.assign(req.session, { [key]: 1 });
        }
      }
      return void res.json({ login: data.login });
    }
    case "/read": {
      const { cookie: _, ...data } = held;
      return void res.json(data);
    }
    case "/destroy":
      await done(held, "destroy");
      return void res.json({});
  }
};
app.use(handle as never);

const server = createServer(app as RequestListener);
const io = new Server(server);
io.engine.use(sessions);
io.on("connection", (socket) => {
  const request = socket.request as Asked;
  socket.on("append", async (token, ms, ack) => {
    try {
      await done(request.session, "reload");
      // reloading replaces the object
      const { session } = request;
      const answer = await append(session, token, ms);
      await done(session, "save");
      ack(answer);
    } catch (error) {
      ack({ error: String(error) });
    }
  });
});
server.listen(listen, "127.0.0.1", () => {
  writeSync(1, `${JSON.stringify({ type: "ready", port: listen })}\n`);
});
