/** The lower bound: Koa and Socket.IO without sessions. */
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import { type Ack, END, type Target } from "./target.ts";

/** Cookies of the same size as those of the other targets; they are ignored. */
const COOKIES = ["sid", "sid.cid"].flatMap((name) => [
  `${name}=${"x".repeat(24)}; path=/`,
  `${name}.sig=${"x".repeat(27)}; path=/`,
]);

export function bare(): Target {
  const app = new Koa();
  let count = 1;
  app.use((ctx) => {
    if (ctx.path === "/login" || ctx.path === "/switch") {
      ctx.set("Set-Cookie", COOKIES);
    }
    if (ctx.path === "/logout") io.emit(END, {});
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
