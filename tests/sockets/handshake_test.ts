import {
  assert,
  assertEquals,
  assertFalse,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertRejects,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { TestContext } from "../support/app.ts";
import { connectedScenario } from "../support/connected_scenario.ts";
import { warningsOf } from "../support/console.ts";
import { KEY } from "../support/cookies.ts";
import { unhandledIn } from "../support/errors.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { collect, once, until } from "../support/wait.ts";

const TRANSPORTS = ["websocket", "polling"];

/** Faults of a user's own function in the options during a handshake. */
const broken: Record<string, TestOptions> = {
  "valid throws": {
    valid: (ctx: unknown) => {
      if ((ctx as TestContext & { handshake?: unknown }).handshake) {
        throw new Error("a secret of the server");
      }
      return true;
    },
  },
  "externalKey.get throws": {
    externalKey: {
      get: (ctx: unknown) => {
        if ((ctx as TestContext & { handshake?: unknown }).handshake) {
          throw new Error("a secret of the server");
        }
        return (ctx as TestContext).cookies.get("token") ?? "";
      },
      set: (ctx: unknown, id: string) => {
        (ctx as TestContext).cookies.set("token", id);
      },
    },
  },
};

describe("a handshake", () => {
  afterEach(closeServers);

  for (const [what, options] of Object.entries(broken)) {
    it(`is refused when ${what}: no crash, no secret`, async () => {
      const { browser } = await startServer(options, routesAndEvents);
      const ada = browser();
      await ada.post("/session", { json: { n: 1 } });
      const unhandled = await unhandledIn(async () => {
        for (const transport of TRANSPORTS) {
          const error = await assertRejects(() =>
            ada.connect("/", { transports: [transport] })
          );
          assertInstanceOf(error, Error);
          assertFalse(error.message.includes("secret"), error.message);
        }
      });
      assertEquals(unhandled, []);
      assertEquals((await ada.get("/session")).json.session, { n: 1 });
    });
  }

  for (
    const options of [
      { rolling: true },
      { renew: true, maxAge: 2_000 },
      { autoCommit: false },
      { clientAlwaysRoll: false },
    ] as TestOptions[]
  ) {
    it(`writes no session cookie, with ${JSON.stringify(options)}`, async () => {
      const unhandled = await unhandledIn(async () => {
        const warnings = await warningsOf(async () => {
          const { browser } = await startServer(options, (parts) => {
            parts.app.use(async (ctx, next) => {
              await next();
              if (options.autoCommit === false) {
                await Reflect.get(ctx.session ?? {}, "manuallyCommit")?.call(
                  ctx.session,
                );
              }
            });
            routesAndEvents(parts);
          });
          const ada = browser();
          await ada.post("/session", { json: { n: 1 } });
          const answer = await ada.handshake();
          assertEquals(answer.status, 200);
          assertEquals(answer.cookie(KEY), undefined);
          for (const transport of TRANSPORTS) {
            const socket = await ada.connect("/", { transports: [transport] });
            assertEquals(typeof await ada.ask(socket, "add"), "number");
          }
          await closeServers();
        });
        assertEquals(warnings, []);
      });
      assertEquals(unhandled, []);
    });
  }

  it("of many sockets at once gives all of them the session", async () => {
    const { ada, sessionId } = await connectedScenario({ n: 0 });
    const sockets = await Promise.all(
      Array.from(
        { length: 20 },
        (_, i) => ada.connect("/", { transports: [TRANSPORTS[i % 2]!] }),
      ),
    );
    for (const socket of sockets) {
      assertEquals((await ada.ask(socket, "whoami")).sessionId, sessionId);
    }
    await ada.post("/logout");
    for (const socket of sockets) {
      await ada.event(socket, "session:end");
      assert(socket.connected);
    }
  });

  it("during a login ends up in the new session, again connected where it came before its cookie", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    await Promise.all(Array.from({ length: 10 }, async (_, i) => {
      const ada = browser();
      await ada.get("/");
      let [socket] = await Promise.all([
        ada.connect(),
        ada.post("/session", { json: { n: i } }),
      ]);
      if ((await ada.ask(socket, "whoami")).sessionId === undefined) {
        const reasons = collect(socket, "disconnect");
        const events = ada.received(socket);
        await until(
          () => events.length + reasons.length > 0,
          "the socket entering the session or being closed",
        );
        if (events.length > 0) assertEquals(events, [["session:start"]]);
        else {
          assertEquals(reasons[0]![0], "transport close");
          socket = await ada.connect();
        }
      }
      assertEquals(await ada.ask(socket, "get"), { n: i });
    }));
  });

  it("without the session cookie of its client's session is closed after 1 s, until the session ends", async () => {
    const { ada, client, io } = await connectedScenario({ n: 1 });
    client.disconnect();
    await until(() => io.of("/").sockets.size === 0, "the member leave");
    const jar = ada.jar.clone();
    jar.delete(KEY);
    const since = Date.now();
    const guest = await ada.connect("/", { jar });
    const [reason] = await once(guest, "disconnect");
    assertEquals(reason, "transport close");
    assertGreaterOrEqual(Date.now() - since, 950);
    const later = await ada.connect("/", { jar });
    await ada.post("/logout");
    const closed = once(later, "disconnect", { timeout: 3_500 });
    await assertRejects(() => closed, Error, "Cannot see");
  });

  it("during a logout ends up without a session", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    for (let i = 0; i < 10; i++) {
      const ada = browser();
      await ada.post("/session", { json: { n: i } });
      await ada.get("/");
      const [socket] = await Promise.all([
        ada.connect(),
        ada.post("/logout"),
      ]);
      assertEquals((await ada.ask(socket, "whoami")).sessionId, undefined);
      assertEquals((await ada.ask(socket, "get")).error, "Session missing");
    }
  });

  it("that the client breaks off leaves nothing behind", async () => {
    const { ada, bridge, io } = await connectedScenario({ n: 1 });
    const before = bridge.stats().sockets;
    const unhandled = await unhandledIn(async () => {
      for (let i = 0; i < 10; i++) {
        const socket = ada.socket();
        socket.connect();
        await new Promise((resolve) => setTimeout(resolve, i));
        socket.disconnect();
        socket.io.engine?.close();
      }
      const left = await ada.connect();
      await ada.ask(left, "whoami");
    });
    assertEquals(unhandled, []);
    assertEquals(bridge.stats().sockets, io.sockets.sockets.size);
    assertEquals(before, 1);
  });
});
