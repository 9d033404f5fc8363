/**
 * The function that makes a bridge.
 *
 * @module
 */
import type { KoaApplication } from "../api/koa.ts";
import type { BridgeOptions } from "../api/options.ts";
import type { SocketServer } from "../api/session_socket.ts";
import type { SessionData } from "../api/store.ts";
import { SessionBridge } from "../bridge.ts";

/**
 * Bridges koa-session and Socket.IO: one session over HTTP and sockets.
 *
 * @param app a Koa application that has no session yet
 * @param io a Socket.IO server, attached to an HTTP server or not yet
 * @param options see {@linkcode BridgeOptions}; may be left out
 * @returns the bridge; it has installed itself
 * @throws {TypeError} for an argument or option of the wrong type, or an app that has a session already
 * @throws {RangeError} for an option out of range
 *
 * @example
 * ```ts ignore
 * import { createServer } from "node:http";
 * import Koa from "koa";
 * import { Server } from "socket.io";
 * import bridgeSession, { type SessionSocket } from "@koa-io/session";
 *
 * const app = new Koa();
 * app.keys = ["a secret that stays"];
 * const io = new Server();
 * bridgeSession(app, io, { key: "sid" });
 *
 * app.use((ctx) => {
 *   ctx.session!.user = "ada";
 *   ctx.body = "hello";
 * });
 * io.on("connection", (raw) => {
 *   const socket = raw as SessionSocket<{ user?: string }>;
 *   socket.on("user", async (reply) => {
 *     reply(await socket.withSession(({ session }) => session.user, "a guest"));
 *   });
 * });
 * const server = createServer(app.callback());
 * io.attach(server);
 * server.listen(3000);
 * ```
 */
export function bridgeSession<S extends object = SessionData>(
  app: KoaApplication,
  io: SocketServer,
  options?: BridgeOptions<S> | null,
): SessionBridge<S> {
  return new SessionBridge<S>(app, io, options);
}
