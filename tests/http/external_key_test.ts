import {
  assert,
  assertEquals,
  assertFalse,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { Server } from "socket.io";
import { bridgeSession } from "@koa-io/session";
import { createApp, native, type TestContext } from "../support/app.ts";
import { KEY } from "../support/cookies.ts";
import { closeServers, startServer } from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";

describe("an external store's methods", () => {
  afterEach(closeServers);

  it("are given the context of the request", async () => {
    const store = fakeStore();
    const note = (call: unknown, what: string) => {
      const { state } = (call as { ctx: TestContext }).ctx;
      state.calls = `${state.calls ?? ""} ${what}`;
    };
    const { browser } = await startServer({
      store: {
        get(sid: string, _maxAge?: unknown, call?: unknown) {
          note(call, "get");
          return store.get(sid);
        },
        set(
          sid: string,
          session: Record<string, unknown>,
          _maxAge?: unknown,
          call?: unknown,
        ) {
          note(call, "set");
          return store.set(sid, session);
        },
        destroy(sid: string, call?: unknown) {
          note(call, "destroy");
          return store.destroy(sid);
        },
      },
    }, ({ app }) => {
      app.use((ctx) => {
        if (ctx.path === "/set") ctx.session = { foo: "bar" };
        if (ctx.path === "/destroy") ctx.session = null;
      });
    }, {
      prepare: ({ app }) => {
        app.use(async (ctx, next) => {
          await next();
          ctx.body = ctx.state.calls ?? "none";
        });
      },
    });
    const ada = browser();
    assertEquals((await ada.get("/")).body, "none");
    assertStringIncludes((await ada.get("/set")).body, "set");
    assertStringIncludes((await ada.get("/")).body, "get");
    assertStringIncludes((await ada.get("/destroy")).body, "destroy");
  });
});

describe("externalKey", () => {
  afterEach(closeServers);

  const HEADER = "user-token";

  it("carries the id in the application's own header", async () => {
    const { browser } = await startServer({
      store: fakeStore(),
      externalKey: {
        get: (ctx: unknown) => (ctx as TestContext).get(HEADER),
        set: (ctx: unknown, value: string) =>
          (ctx as TestContext).set(HEADER, value),
      },
    }, ({ app }) => {
      app.use((ctx) => {
        if (ctx.method === "POST") ctx.session!.text = ";";
        ctx.body = [ctx.session!.text, native(ctx).externalKey];
      });
    });
    const ada = browser();
    const made = await ada.post("/");
    const token = made.headers[HEADER] as string;
    assert(token);
    assertEquals(made.json[1], token);
    assertFalse(ada.jar.get(KEY));
    const seen = await ada.get("/", { headers: { [HEADER]: token } });
    assertEquals(seen.json, [";", token]);
  });

  it("reads the token of a handshake from ctx.handshake", async () => {
    const { browser } = await startServer({
      externalKey: {
        get: (ctx: unknown) => {
          const { handshake, get } = ctx as TestContext & {
            handshake?: { auth: { token?: string } };
          };
          return handshake?.auth.token ?? get.call(ctx, HEADER);
        },
        set: (ctx: unknown, value: string) =>
          (ctx as TestContext).set(HEADER, value),
      },
    }, ({ app, io }) => {
      app.use((ctx) => {
        ctx.session!.text = "hi";
        ctx.body = "";
      });
      io.on("connection", (socket) => {
        socket.on("id", (ack) => ack(Reflect.get(socket, "sessionId")));
      });
    });
    const ada = browser();
    const token = (await ada.post("/")).headers[HEADER] as string;
    const socket = await ada.connect("/", { auth: { token } });
    assertEquals(await ada.ask(socket, "id"), token);
    const mallory = browser();
    const other = await mallory.connect("/", { auth: { token: "wrong" } });
    assertNotEquals(await mallory.ask(other, "id"), token);
  });

  it("without both its functions is refused, by name", () => {
    const app = createApp();
    app.keys = ["k"];
    const error = assertThrows(
      () => bridgeSession(app, new Server(), { externalKey: {} as never }),
      TypeError,
    );
    assertMatch(error.message, /externalKey/);
  });
});
