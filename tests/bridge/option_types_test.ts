/** Compile-time checks of the types of the options, as in `types_test.ts`. */
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import {
  bridgeSession,
  type CallbackContext,
  type OnSessionEnd,
  type OnUserChange,
  type OriginOption,
} from "@koa-io/session";
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";
import { describe, it } from "@std/testing/bdd";
import { compile, same, value } from "../support/types.ts";

interface MySession {
  user?: string;
  count: number;
}

compile(async () => {
  // what sessions hold is what the schema makes of them
  const [app, io] = [new Koa(), new Server()];
  interface Inferred {
    user?: string;
    count: number;
  }
  const byZod = bridgeSession(app, io, {
    schema: z.object({ user: z.exactOptional(z.string()), count: z.number() }),
    user: ({ user }) => user,
    view: ({ count }) => count,
    onInvalid: "end",
  });
  same<number | undefined>()((await byZod.peek("id"))?.count);
  const byValibot = bridgeSession(app, io, {
    schema: v.object({ user: v.exactOptional(v.string()), count: v.number() }),
  });
  same<Inferred | undefined>()(await byValibot.peek("id"));
  const byArktype = bridgeSession(app, io, {
    schema: type({ "user?": "string", count: "number" }),
  });
  same<number>()(
    await byArktype.withSession("id", ({ session }) => session.count),
  );
  bridgeSession<MySession>(app, io, {
    schema: v.object({ user: v.exactOptional(v.string()), count: v.number() }),
  });
  bridgeSession<MySession>(app, io, {
    // @ts-expect-error another session
    schema: z.object({ count: z.string() }),
  });
  bridgeSession(app, io, {
    // @ts-expect-error not an object
    schema: z.string(),
  });
});

compile(() => {
  // an id may be a number, or missing in any way
  const [app, io] = [new Koa(), new Server()];
  bridgeSession<{ id: number | null }>(app, io, {
    user: ({ id }) => id,
    onUserChange: "follow",
    maxSessions: { max: 3, exceed: "refuse" },
  });
  bridgeSession<MySession>(app, io, {
    // @ts-expect-error an id is a string or a number
    user: () => true,
    // @ts-expect-error no such reaction
    onUserChange: "leave",
    // @ts-expect-error neither
    maxSessions: { max: 3, exceed: "newest" },
    // @ts-expect-error an object
    meta: () => "address",
  });
  value<OnUserChange>() satisfies string;

  // callbacks compile on Koa's context and the application's, without an annotation
  bridgeSession<MySession>(app, io, {
    meta: (ctx) => {
      same<CallbackContext>()(ctx);
      same<string>()(ctx.ip);
      same<string>()(ctx.get("user-agent"));
      return { address: ctx.ip, language: ctx.i18n.language() };
    },
    valid: (ctx, { count }) => count > 0 && ctx.cookies.get("x") !== "",
    genid: (ctx) => ctx.state.id + ctx.req.url,
    beforeSave: (ctx) => ctx.log.info(ctx.headers.host),
    externalKey: {
      get: (ctx) => ctx.get("authorization"),
      set: (ctx, id) => ctx.set("authorization", id),
    },
  });
  // and with one
  interface OwnContext extends Koa.Context {
    readonly tenant: string;
  }
  bridgeSession<MySession>(app, io, {
    meta: ({ tenant }: OwnContext) => ({ tenant }),
    valid: (ctx: Koa.Context, session) => ctx.secure && session.count > 0,
    genid: (ctx: Koa.ParameterizedContext) => ctx.host,
    externalKey: {
      get: (ctx: Koa.Context) => ctx.get("authorization"),
      set: (ctx: OwnContext, id) => ctx.set("authorization", id + ctx.tenant),
    },
  });
});

compile(() => {
  // @ts-expect-error not a Koa application
  bridgeSession({}, new Server());
  // @ts-expect-error not a Socket.IO server
  bridgeSession(new Koa(), {});
  bridgeSession(new Koa(), new Server(), {
    // @ts-expect-error a name is a string
    key: 1,
    // @ts-expect-error neither number nor "session"
    maxAge: "forever",
    // @ts-expect-error ms
    onSessionEnd: { disconnectAfter: "200" },
    // @ts-expect-error not a policy
    onConflict: "first",
    // @ts-expect-error a store has get, set and destroy
    store: new Map(),
    // @ts-expect-error not a list of strings
    origin: [1],
  });
  value<OnSessionEnd>() satisfies string | { disconnectAfter: number };
  value<OriginOption>() satisfies unknown;
});

describe("the types of the options", () => {
  it("hold, as this file compiles", () => {});
});
