/** The same node without the bridge: koa-session on a store in Redis, as its README has it. It has no sockets, and a logout ends the session of its own cookie. */
// @ts-types="@types/koa"
import Koa from "koa";
import session from "koa-session";
import { writeSync } from "node:fs";
import process from "node:process";
import { connectClient } from "../support/cluster/messengers.ts";
import type { NodeConfig } from "../support/cluster/processes.ts";
import { pause } from "../support/wait.ts";
import type { Tortured } from "./history.ts";

const { port, prefix, listen }: NodeConfig = JSON.parse(process.argv[2]!);
const client = await connectClient(port, []);

const app = new Koa();
app.keys = ["a key of the torture"];
app.silent = true;
app.use(
  session({
    key: "sid",
    store: {
      async get(sid: string) {
        const text = await client.get(prefix + sid);
        return text === null ? undefined : JSON.parse(String(text));
      },
      async set(sid: string, data: object, maxAge: number) {
        await client.set(prefix + sid, JSON.stringify(data), {
          PX: Math.ceil(maxAge),
        });
      },
      async destroy(sid: string) {
        await client.del(prefix + sid);
      },
    },
  }, app as never) as Koa.Middleware,
);
app.use(async (ctx) => {
  const { token, user, login, ms } = ctx.query as Record<string, string>;
  const held = ctx.session as unknown as Tortured & {
    regenerate(): Promise<void>;
  };
  switch (ctx.path) {
    case "/login":
      Object.assign(held, { user, login, list: [] });
      return ctx.body = { login };
    case "/append":
      if (held.login) {
        const list = [...held.list ?? []];
        await pause(Number(ms));
        held.list = [...list, token!];
      }
      return ctx.body = { login: held.login };
    case "/patch":
      if (held.login) held[`k-${token}`] = 1;
      return ctx.body = { login: held.login };
    case "/regenerate":
      if (held.login) await held.regenerate();
      return ctx.body = { login: held.login };
    case "/read":
      return ctx.body = { ...held };
    case "/destroy":
      ctx.session = null;
      return ctx.body = {};
  }
});
app.listen(listen, "127.0.0.1", () => {
  writeSync(1, `${JSON.stringify({ type: "ready", port: listen })}\n`);
});
