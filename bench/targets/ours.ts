/** This package, with its default store. */
import {
  type BridgeOptions,
  bridgeSession,
  generateUid,
  type SessionContext,
  type SessionSocket,
  type SessionStore,
} from "@koa-io/session";
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import {
  type Ack,
  type Data,
  fresh,
  KEYS,
  nextUser,
  type Target,
} from "./target.ts";

export function ours(): Target {
  return target({});
}

/** With `user`: a login gives the session a new id, and its sockets reconnect. */
export function oursWithUser(): Target {
  return target({ user: (session) => session.user });
}

function target(options: BridgeOptions<Data>): Target {
  const app = new Koa<Koa.DefaultState, SessionContext<Data>>();
  app.keys = KEYS;
  const io = new Server();
  const { store } = bridgeSession<Data>(app, io, {
    key: "sid",
    ...options,
  });
  app.use((ctx) => {
    if (ctx.path === "/untouched") {
      ctx.body = "untouched";
      return;
    }
    if (ctx.path === "/login") Object.assign(ctx.session!, fresh());
    if (ctx.path === "/change") ctx.session!.count++;
    if (ctx.path === "/switch") {
      Object.assign(ctx.session!, { ...fresh(), user: nextUser() });
    }
    if (ctx.path === "/logout") {
      ctx.session = null;
      ctx.body = "";
      return;
    }
    ctx.body = String(ctx.session!.count);
  });
  io.on("connection", (raw) => {
    const socket = raw as SessionSocket<Data>;
    socket.on("echo", (value: unknown, ack: Ack) => ack(value));
    socket.on("read", async (_: unknown, ack: Ack) => {
      ack(await socket.withSession(({ session }) => session.count));
    });
    socket.on("increment", async (_: unknown, ack: Ack) => {
      ack(await socket.withSession(({ session }) => ++session.count));
    });
  });
  const fill = (count: number) => {
    const record = {
      data: JSON.stringify(fresh()),
      maxAge: 86_400_000,
      absoluteEnd: undefined,
      cookie: undefined,
      settled: true,
      user: undefined,
      authenticatedAt: undefined,
      meta: undefined,
    };
    for (let i = 0; i < count; i++) {
      const expires = Date.now() + 86_400_000;
      const now = Date.now();
      const own = {
        expires,
        clientId: `client-${i}`,
        created: now,
        lastUsed: now,
        arrived: now - 1.25,
        handle: generateUid(),
      };
      (store as SessionStore).write(`filled-${i}`, { ...record, ...own }, null);
    }
  };
  return { listener: app.callback(), io, fill };
}
