/** A node under torture: a process with the bridge on a real store. Its configuration is the first argument, as JSON. */
import { RedisStore } from "@koa-io/session/redis";
import { writeSync } from "node:fs";
import process from "node:process";
import {
  onConnection,
  type TestContext,
  type TestSession,
} from "../support/app.ts";
import { adapterOf, connectClient } from "../support/cluster/messengers.ts";
import type { NodeConfig } from "../support/cluster/processes.ts";
import { connectPostgres } from "../support/postgres/node.ts";
import { type Ack, answer } from "../support/routes.ts";
import { startServer, type TestOptions } from "../support/server.ts";
import { pause } from "../support/wait.ts";
import type { Tortured } from "./history.ts";

const config: NodeConfig = JSON.parse(process.argv[2]!);
const { file, postgres, port, prefix, channel, listen } = config;

const say = (line: object) => void writeSync(1, `${JSON.stringify(line)}\n`);
process.on("unhandledRejection", (error) => {
  say({ type: "unhandled", error: String((error as Error)?.stack ?? error) });
});

interface View {
  readonly session: TestSession;
}

/** Appends with a gap, in which a lost update would show; of `ms`, in which the lease may run out. */
async function append(
  { session }: View,
  token: string,
  ms: number,
): Promise<object> {
  const held = session as unknown as Tortured;
  const list = [...held.list ?? []];
  await (ms > 0 ? pause(ms) : Promise.resolve());
  held.list = [...list, token];
  return { login: held.login };
}

async function equipment(): Promise<{
  readonly store: NonNullable<TestOptions["store"]>;
  readonly adapter?: object;
}> {
  if (file !== undefined) {
    const { SqliteStore } = await import("@koa-io/session/sqlite");
    return { store: new SqliteStore({ path: file }) };
  }
  if (postgres) return await connectPostgres(postgres, channel);
  const client = await connectClient(port, []);
  const adapter = await adapterOf("redis", client, channel);
  return { store: new RedisStore({ client, prefix }), adapter };
}

const { store, adapter } = await equipment();
const server = await startServer(
  {
    store,
    user: ({ user }) => user,
    onUserChange: "keep",
    lockTimeout: 1_000,
    storeTimeout: 1_000,
    reconcileInterval: 1_000,
  },
  ({ app, io, bridge }) => {
    app.use(async (ctx: TestContext) => {
      const { token, user, login, ms } = ctx.query as Record<string, string>;
      const session = ctx.session as unknown as Tortured | null;
      switch (ctx.path) {
        case "/login":
          Object.assign(ctx.session!, { user, login, list: [] });
          return ctx.body = { login };
        case "/append":
          return ctx.body = await ctx.withSession(
            (view) => append(view as View, token!, Number(ms)),
            {},
          );
        case "/patch":
          if (session?.login) session[`k-${token}`] = 1;
          return ctx.body = { login: session?.login };
        case "/regenerate":
          if (session?.login) await ctx.regenerateSession();
          return ctx.body = { login: session?.login };
        case "/read":
          return ctx.body = { ...session };
        case "/destroy":
          return ctx.body = { ended: await bridge.destroyUser(user!) };
        case "/live":
          return ctx.body = (await bridge.sessionsOf(user!)).length;
      }
    });
    onConnection(io, (socket) => {
      socket.on("append", (token: string, ms: number, ack: Ack) => {
        answer(
          ack,
          socket.withSession((view) => append(view as View, token, ms), {}),
        );
      });
    });
  },
  {
    port: listen,
    ...adapter && { io: { adapter: adapter as never } },
    prepare: ({ app }) =>
      app.use(async (ctx: TestContext, next) => {
        try {
          await next();
        } catch (error) {
          const { status = 500, code } = error as {
            status?: number;
            code?: string;
          };
          ctx.status = status;
          ctx.body = { code: code ?? "INTERNAL" };
        }
      }),
  },
);
say({ type: "ready", port: server.port });
