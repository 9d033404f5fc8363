/** koa-session with a store in a Map: HTTP only. */
// @ts-types="@types/koa"
import Koa from "koa";
import createSession from "koa-session";
import { fresh, KEYS, nextUser, type Target } from "./target.ts";

export function koaSession(): Target {
  const app = new Koa();
  app.keys = KEYS;
  const sessions = new Map<string, unknown>();
  const store = {
    get: (sid: string) => Promise.resolve(sessions.get(sid)),
    set: (sid: string, session: unknown) => {
      sessions.set(sid, session);
      return Promise.resolve();
    },
    destroy: (sid: string) => {
      sessions.delete(sid);
      return Promise.resolve();
    },
  };
  app.use(createSession({ key: "sid", store } as never, app as never));
  app.use(async (ctx) => {
    if (ctx.path === "/untouched") {
      ctx.body = "untouched";
      return;
    }
    if (ctx.path === "/login") Object.assign(ctx.session!, fresh());
    if (ctx.path === "/change") ctx.session!.count++;
    if (ctx.path === "/switch") {
      await ctx.session!.regenerate();
      Object.assign(ctx.session!, { ...fresh(), user: nextUser() });
    }
    ctx.body = String(ctx.session!.count);
  });
  const fill = (count: number) => {
    for (let i = 0; i < count; i++) {
      sessions.set(`filled-${i}`, { ...fresh(), _expire: 1e15, _maxAge: 1e9 });
    }
  };
  return { listener: app.callback(), io: undefined, fill };
}
