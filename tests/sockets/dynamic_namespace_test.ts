/** Namespaces that Socket.IO creates on demand and removes when they are empty. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Browser } from "../support/browser.ts";
import { unhandledIn } from "../support/errors.ts";
import { collectGarbage } from "../support/garbage.ts";
import { clearingIntervals } from "../support/intervals.ts";
import { startScenario } from "../support/scenario.ts";
import { closeServers } from "../support/server.ts";
import { until } from "../support/wait.ts";

const FOREIGN = { headers: { origin: "https://evil.example" } };

describe("the option origin", () => {
  afterEach(closeServers);

  it("holds on every HTTP server that Socket.IO was attached to", async () => {
    const last = createServer();
    await new Promise<void>((resolve) => last.listen(0, "127.0.0.1", resolve));
    const { port } = last.address() as AddressInfo;
    const scenario = await startScenario({}, {
      prepare: ({ io }) => void io.attach(last),
    });
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    const other = new Browser(`http://127.0.0.1:${port}`);
    try {
      for (const transport of ["websocket", "polling"]) {
        const foreign = { ...FOREIGN, transports: [transport] };
        await assertRejects(() => other.connect("/", foreign));
        await assertRejects(
          () => browser.connect("/", foreign),
          Error,
          transport === "websocket" ? "Origin not allowed" : "",
        );
        // from the first socket on its engine is guarded, as the other one is
        assertEquals(await browser.upgrade(FOREIGN.headers), 400);
      }
      const own = await browser.connect();
      const who = await browser.ask(own, "whoami");
      assertEquals(who.sessionId, sessionId);
    } finally {
      await other.close();
      await browser.close();
      scenario.http.close();
      scenario.http.closeAllConnections();
    }
  });
});

describe("a dynamic namespace", () => {
  afterEach(closeServers);

  it("is released after its last socket disconnected", async () => {
    const scenario = await startScenario({}, {
      io: { cleanupEmptyChildNamespaces: true },
    });
    scenario.io.of(/^\/room-\d+$/);
    const rooms: WeakRef<object>[] = [];
    scenario.io.on("new_namespace", (room) => rooms.push(new WeakRef(room)));
    const { browser } = await scenario.visit();
    for (let i = 0; i < 10; i++) {
      const socket = await browser.connect(`/room-${i}`);
      socket.disconnect();
    }
    await browser.close();
    await until(
      () => scenario.io._nsps.size === 1,
      "the end of the namespaces",
    );
    assertEquals(rooms.length, 10);
    await until(() => {
      collectGarbage();
      return rooms.filter((room) => room.deref()).length <= 1;
    }, "the collection of the namespaces");
  });
});

describe("connection state recovery", () => {
  afterEach(closeServers);

  it("recovers a socket without a session whose externalKey.get throws", async () => {
    await clearingIntervals(async () => {
      const externalKey = {
        get: (ctx: { handshake?: { auth: { token: string } } }) =>
          ctx.handshake ? ctx.handshake.auth.token.slice(7) : "",
        set: () => {},
      };
      const scenario = await startScenario({
        externalKey: externalKey as never,
      }, {
        io: { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } },
      });
      const browser = scenario.browser();
      const lost = await browser.connect("/", {
        auth: { token: "Bearer nothing" },
      });
      scenario.io.emit("hello");
      await browser.event(lost, "hello");
      const { _pid, _lastOffset } = lost as unknown as Record<string, string>;
      lost.io.engine.close();
      await until(() => scenario.io.sockets.sockets.size === 0, "the loss");
      const unhandled = await unhandledIn(async () => {
        const socket = browser.socket("/", { auth: {} });
        Object.assign(socket, { _pid, _lastOffset });
        await browser.open(socket);
        assert(socket.recovered);
        const { code } = await browser.ask(socket, "get");
        assertEquals(code, "SESSION_MISSING");
      });
      assertEquals(unhandled, []);
      await closeServers();
    });
  });
});

describe("the lock of a session", () => {
  afterEach(closeServers);

  it("ends after lockTimeout although the clock is set back", async () => {
    const scenario = await startScenario({ lockTimeout: 100 });
    const { sessionId } = await scenario.visit({ n: 1 });
    const { now } = Date;
    try {
      void scenario.bridge.withSession(sessionId, () => new Promise(() => {}))
        .catch(() => {});
      Date.now = () => now() - 3_600_000;
      for (let i = 0; i < 3; i++) {
        const ran = await scenario.bridge.withSession(sessionId, () => "ran");
        assertEquals(ran, "ran");
      }
    } finally {
      Date.now = now;
    }
  });
});
