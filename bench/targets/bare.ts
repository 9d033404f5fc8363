/** The physical limit: Koa and Socket.IO, and no session at all. */
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import type { Ack, Target } from "./target.ts";

/** Its clients bring as many bytes as those of the others, and it makes nothing of them. */
const COOKIES = ["sid", "sid.cid"].flatMap((name) => [
  `${name}=${"x".repeat(24)}; path=/`,
  `${name}.sig=${"x".repeat(27)}; path=/`,
]);

export function bare(): Target {
  const app = new Koa();
  let count = 1;
  app.use((ctx) => {
    if (ctx.path === "/login") ctx.set("Set-Cookie", COOKIES);
    if (ctx.path === "/change") count++;
    ctx.body = ctx.path === "/untouched" ? "untouched" : String(count);
  });
  const io = new Server();
  io.on("connection", (socket) => {
    let count = 1;
    socket.on("echo", (value: unknown, ack: Ack) => ack(value));
    socket.on("read", (_: unknown, ack: Ack) => ack(count));
    socket.on("increment", (_: unknown, ack: Ack) => ack(++count));
  });
  return { listener: app.callback(), io };
}
