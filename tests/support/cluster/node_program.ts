/**
 * One node of a cluster in a process of its own: Koa, Socket.IO, the bridge, on
 * Redis or on a file. Its configuration is the first argument, as JSON; it prints a JSON line for each event.
 */
import { RedisStore } from "@koa-io/session/redis";
import { createAdapter as createProcesses } from "@socket.io/cluster-adapter";
import cluster from "node:cluster";
import { writeSync } from "node:fs";
import { Server } from "node:http";
import process from "node:process";
import { onConnection, type TestContext, type TestSession } from "../app.ts";
import { BridgeRooms } from "../bridge_rooms.ts";
import { type Ack, answer, type Parts, routesAndEvents } from "../routes.ts";
import { connectPostgres } from "../postgres/node.ts";
import { startServer, type TestOptions } from "../server.ts";
import { pause } from "../wait.ts";
import { adapterOf, connectClient } from "./messengers.ts";
import type { NodeConfig } from "./processes.ts";

const config: NodeConfig = JSON.parse(process.argv[2]!);

const say = (line: object) => void writeSync(1, `${JSON.stringify(line)}\n`);

process.on("unhandledRejection", (error) => {
  say({ type: "unhandled", error: String((error as Error)?.stack ?? error) });
});

interface View {
  session: TestSession | null;
}

/** Holds the session for this time, and writes. */
async function hold(sessionCtx: View, ms: number): Promise<true> {
  say({ type: "holding" });
  await pause(ms);
  sessionCtx.session!.late = true;
  return true;
}

/** Counts, with a gap in which a lost update would show. */
async function add(sessionCtx: View): Promise<number> {
  const n = sessionCtx.session!.n ?? 0;
  await Promise.resolve();
  return sessionCtx.session!.n = n + 1;
}

function setUp(parts: Parts): void {
  const { app, io, bridge } = parts;
  const rooms = new BridgeRooms(io);
  routesAndEvents(parts);
  app.use(async (ctx: TestContext) => {
    switch (ctx.path) {
      case "/hold":
        return ctx.body = await ctx.withSession((view) =>
          hold(view, Number(ctx.query.ms))
        );
      case "/add":
        return ctx.body = { n: await ctx.withSession(add) };
      case "/regenerate":
        return await ctx.regenerateSession();
      case "/news":
        bridge.toUser(String(ctx.query.user)).emit("news");
        return ctx.body = {};
      case "/destroy":
        return ctx.body = {
          ended: await bridge.destroyUser(String(ctx.query.user)),
        };
      case "/rooms":
        return ctx.body = rooms.names();
      case "/stats":
        return ctx.body = bridge.stats();
    }
  });
  onConnection(io, (socket) => {
    socket.on("hold", (ms: number, ack: Ack) => {
      answer(ack, socket.withSession((view) => hold(view, ms)));
    });
    socket.on("count", (ack: Ack) => answer(ack, socket.withSession(add)));
  });
  for (const name of ["sessionStart", "sessionEnd"] as const) {
    bridge.on(name, (event: object) => say({ type: name, ...event }));
  }
}

// the workers of node:cluster have separate ports: none accepts connections of another
if (cluster.isWorker) {
  const { listen } = Server.prototype;
  Server.prototype.listen = function (this: Server, ...args: unknown[]) {
    const [port, host, listening] = args;
    const own = { port, host, exclusive: true };
    return Reflect.apply(listen, this, [own, listening]);
  };
}

/** What the node works on. */
interface Equipment {
  readonly store: NonNullable<TestOptions["store"]>;
  readonly adapter?: object | undefined;
}

/** A file that the nodes of one machine share, without messages between them. */
async function onFile(path: string): Promise<Equipment> {
  const { SqliteStore } = await import("@koa-io/session/sqlite");
  return { store: new SqliteStore({ path }) };
}

async function onRedis(): Promise<Equipment> {
  const { prefix, channel, messenger } = config;
  const client = await connectClient(config.port, []);
  const teller = config.messengerPort === undefined
    ? client
    : await connectClient(config.messengerPort, []);
  const adapter = messenger === "processes"
    ? createProcesses()
    : await adapterOf(messenger, teller, channel);
  return { store: new RedisStore({ client, prefix }), adapter };
}

const { options, io, file, postgres, channel } = config;
const { store, adapter } =
  await (postgres
    ? connectPostgres(postgres, channel)
    : file === undefined
    ? onRedis()
    : onFile(file));
const { port } = await startServer(
  {
    store,
    user: ({ user }) => user,
    onUserChange: "keep",
    ...options,
  },
  setUp,
  {
    port: Number(process.env.LISTEN ?? config.listen),
    io: { ...io, ...adapter && { adapter: adapter as never } },
    // errors become JSON, with their codes
    prepare: ({ app }) =>
      app.use(async (ctx: TestContext, next) => {
        try {
          await next();
        } catch (error) {
          const { status, code, message } = error as Error & {
            status?: number;
            code?: string;
          };
          ctx.status = status ?? 500;
          ctx.body = { code, message };
        }
      }),
  },
);
say({ type: "ready", port });
