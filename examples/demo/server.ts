/** Koa, Socket.IO and the bridge between them, wired together. */
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import { bridgeSession } from "@koa-io/session";
import { openDurable } from "./durable.ts";
import { guardRequests } from "./guard.ts";
import { servePage } from "./page.ts";
import { type App, reportDevices, serveApi } from "./routes.ts";
import type { DemoSession } from "./session.ts";
import { answerSockets } from "./sockets.ts";

/** A running demo. */
export interface Demo {
  /** The address of the page. */
  readonly url: string;
  /** Closes connections, server and bridge. */
  close(): Promise<void>;
}

/** Address, port and storage of the demo. */
export interface DemoOptions {
  /** `0` selects a free port. */
  readonly port: number;
  readonly host: string;
  /** A SQLite file; without it, sessions are kept in memory. */
  readonly file?: string | undefined;
}

/** Serves the demo. */
export async function startDemo(
  { port, host, file }: DemoOptions,
): Promise<Demo> {
  const durable = file ? await openDurable(file) : undefined;
  const app: App = new Koa();
  const io = new Server();
  const bridge = bridgeSession<DemoSession>(app, io, {
    store: durable?.store,
    // sessions in memory end with the process, so its keys can be random
    appKeys: durable?.appKeys ?? [randomUUID()],
    key: "demo.sid",
    sameSite: "lax",
    // a login, a logout: new ids, and the sockets come back with the new cookies
    user: (session) => session.user,
    meta: (ctx) => ({
      browser: ctx.get("user-agent").slice(0, 200),
      host: ctx.hostname.slice(0, 100),
    }),
  });
  bridge.on("error", (error) => console.error(error));
  bridge.on("sessionConflict", ({ sessionId }) => {
    bridge.toSession(sessionId).emit("conflict");
  });
  bridge.on("userChange", ({ from, to }) => {
    for (const user of [from, to]) if (user) reportDevices(bridge, user);
  });

  guardRequests(app);
  serveApi(app, bridge);
  app.use(servePage());
  answerSockets(io, bridge);

  // app.callback() copies the middleware: the bridge and the routes come before it
  const server = createServer(app.callback());
  io.attach(server);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = io.close();
      server.closeAllConnections();
      await closed;
      await bridge.close();
      await durable?.store.close();
    },
  };
}
