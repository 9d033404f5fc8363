import { createServer } from "node:http";
import { afterEach, describe, it } from "@std/testing/bdd";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { bridgeSession } from "@koa-io/session";
import mount from "koa-mount";
import koaSession from "koa-session";
import { Server } from "socket.io";
import { createApp, type TestApp } from "../support/app.ts";
import { closeServers, startServer } from "../support/server.ts";
import { Browser } from "../support/browser.ts";
import { sessionEvents } from "../support/routes.ts";

type Mountable = Parameters<typeof mount>[1];
type Mount = Parameters<TestApp["use"]>[0];

/** The ways in which one application serves the requests of another. */
const ways: [name: string, wrap: (inner: TestApp) => Mount][] = [
  ["koa-mount", (inner) => mount("/inner", inner as Mountable) as Mount],
  ["koa-mount at /", (inner) => mount("/", inner as Mountable) as Mount],
  [
    "its composed middleware",
    (inner) =>
      mount(
        (inner as unknown as { middleware: unknown }).middleware as Mountable,
      ) as Mount,
  ],
];

/** Counts in the session, and says what it has. */
function counting(app: TestApp): TestApp {
  app.use((ctx) => {
    ctx.session!.n = (ctx.session!.n ?? 0) + 1;
    ctx.body = { n: ctx.session!.n, sessionId: ctx.sessionId };
  });
  return app;
}

for (const [way, wrap] of ways) {
  describe(`an application inside another, by ${way}`, () => {
    afterEach(closeServers);

    it("has the session of a bridged application around it", async () => {
      const { browser, peek } = await started((app) => {
        app.use(wrap(counting(createApp())));
      });
      const ada = browser();
      assertEquals((await ada.get("/inner")).json.n, 1);
      const { n, sessionId } = (await ada.get("/inner")).json;
      assertEquals(n, 2);
      assertEquals(await peek(sessionId), { n: 2 });
      const socket = await ada.connect();
      assertEquals(await ada.ask(socket, "get"), { n: 2 });
    });

    const outers: [name: string, prepare: (outer: TestApp) => void][] = [
      ["plain", () => {}],
      [
        "with koa-session",
        (outer) =>
          outer.use(koaSession({ key: "other" }, outer as never) as Mount),
      ],
    ];
    for (const [kind, prepare] of outers) {
      it(`is refused by name if it is the bridged one, in one ${kind}`, async () => {
        const inner = createApp();
        const bridge = bridgeSession(inner, new Server(), {
          key: "inner",
          appKeys: ["key"],
        });
        const outer = createApp();
        outer.keys = ["key"];
        prepare(outer);
        outer.use(wrap(counting(inner)));
        await using server = await served(outer);
        const { status, error } = await server.get("/inner");
        assertEquals(status, 500);
        assertRefusal(error);
        await bridge.close();
      });
    }

    it("is refused by name if both are bridged: their sessions do not merge", async () => {
      const inner = createApp();
      const innerBridge = bridgeSession(inner, new Server(), {
        key: "inner",
        appKeys: ["key"],
      });
      const stand = await started((app) => {
        app.use((ctx, next) =>
          ctx.path === "/outer" ? void (ctx.body = "out") : next()
        );
        app.use(wrap(counting(inner)));
      });
      const ada = stand.browser();
      assertEquals((await ada.get("/outer")).status, 200);
      const answer = await ada.get("/inner");
      assertEquals(answer.status, 500);
      assertRefusal(stand.errors[0]);
      assertEquals(answer.cookie("inner"), undefined);
      await innerBridge.close();
      assertEquals((await ada.get("/inner")).json.n, 1);
    });
  });
}

function assertRefusal(error: Error | undefined): void {
  assertEquals(error?.name, "TypeError");
  for (const part of ["another application", "koa-mount", "bridgeSession"]) {
    assertStringIncludes(error!.message, part);
  }
}

async function started(setup: (app: TestApp) => void) {
  const stand = await startServer({}, ({ app, io }) => {
    sessionEvents(io);
    setup(app);
  });
  const peek = (sid: string) => stand.bridge.peek(sid);
  return { ...stand, peek };
}

/** Serves an application that has no bridge. */
async function served(app: TestApp) {
  let error: Error | undefined;
  app.on("error", (thrown: Error) => void (error = thrown));
  const http = createServer((req, res) => void app.callback()(req, res));
  await new Promise<void>((done) => http.listen(0, "127.0.0.1", done));
  const { port } = http.address() as { port: number };
  const browser = new Browser(`http://127.0.0.1:${port}`);
  return {
    async get(path: string) {
      const { status } = await browser.get(path);
      return { status, error };
    },
    async [Symbol.asyncDispose]() {
      await new Promise((done) => http.close(done));
    },
  };
}
