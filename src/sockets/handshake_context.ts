/**
 * The Koa context of a handshake.
 *
 * @module
 */
import { ServerResponse } from "node:http";
import type { Socket } from "socket.io";
import type { KoaApplication } from "../api/koa.ts";

/**
 * Makes the Koa context of a socket's handshake. It has `handshake`, and no
 * session: nothing would commit it.
 */
export function handshakeContext(
  app: KoaApplication,
  { request, handshake }: Socket,
): object {
  const ctx = app.createContext(request, new ServerResponse(request));
  Object.assign(ctx as object, { handshake });
  return Object.defineProperty(ctx as object, "session", {
    configurable: true,
    get: () => undefined,
    set() {
      throw new TypeError(
        "Cannot set ctx.session as the context is a handshake's: use socket.withSession",
      );
    },
  });
}
