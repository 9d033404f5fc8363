import Koa from "koa";
import { Server } from "socket.io";
import { describe, it } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertFalse,
  assertMatch,
  assertStrictEquals,
} from "@std/assert";
import { bridgeSession, SessionStore } from "@koa-io/session";
import type { TestSession } from "../support/app.ts";
import { warningsOf } from "../support/console.ts";
import { KEY, SIGNING_KEY } from "../support/cookies.ts";
import { codeOf } from "../support/errors.ts";
import { clearingIntervals } from "../support/intervals.ts";
import { connectPair, startScenario } from "../support/scenario.ts";
import type { ServerConfig, TestOptions } from "../support/server.ts";
import { FaultyAtomicStore } from "../support/stores/faulty_stores.ts";
import { deferred } from "../support/wait.ts";

/** Options that the doctor finds nothing in. */
const CORRECT: TestOptions = {
  // requests are not secure here: no cookie of it is sent
  secure: true,
  sameSite: "lax",
  key: "__Host-test",
  maxAge: 8 * 60 * 60_000,
  absoluteMaxAge: 7 * 24 * 60 * 60_000,
  user: (session: TestSession) => session.user,
  onSessionEnd: "disconnect",
};

/** The codes that the doctor finds after one request. */
async function diagnosed(
  options: TestOptions = {},
  config: ServerConfig = {},
  visited = true,
): Promise<string[]> {
  let codes: string[] = [];
  await warningsOf(async () => {
    await using scenario = await startScenario(options, config);
    if (visited) await scenario.browser().get("/");
    const findings = scenario.bridge.doctor();
    for (const { code, severity, message, fix, standard } of findings) {
      assertMatch(code, /^[a-z]+(-[a-z]+)*$/);
      assert(["error", "warning", "info"].includes(severity), severity);
      assert(message.length > 10 && fix.length > 10, code);
      assert(standard === undefined || /ASVS|RFC/.test(standard), standard);
    }
    codes = findings.map(({ code }) => code);
  });
  return codes;
}

describe("bridge.doctor()", () => {
  it("finds nothing in a correct setup", async () => {
    assertEquals(await diagnosed(CORRECT), []);
  });

  const ailments: [
    code: string,
    why: string,
    options: TestOptions,
    config?: ServerConfig,
  ][] = [
    ["random-keys", "app.keys were made up", {}, { keys: false }],
    ["random-cookie-name", "key was made up", {
      key: null,
    } as unknown as TestOptions],
    ["recovery-on", "connection state recovery is on", {}, {
      io: { connectionStateRecovery: { maxDisconnectionDuration: 1_000 } },
    }],
    ["origin-any-credentials", 'origin is "any" with credentials', {
      origin: "any",
    }, { io: { cors: { origin: true, credentials: true } } }],
    ["same-site-none-insecure", "SameSite=None goes without secure", {
      sameSite: "none",
    }],
    ["weak-genid", "genid makes short ids", {
      genid: () => String(Math.floor(Math.random() * 1e9)),
    }],
    ["without-user", "user is not set", {}],
    ["not-secure", "cookies go over plain HTTP", {}],
    ["no-same-site", "SameSite is left to the browser", {}],
    ["no-host-prefix", "the cookie may come from another host", {
      secure: true,
    }],
    ["short-cookie-name", "the cookie has a short name", { key: "sid" }],
    ["long-life", "sessions live for months", {
      maxAge: 31 * 24 * 60 * 60_000,
    }],
    ["no-absolute-max-age", "sessions live for ever", {}],
    ["unknown-options", "an option is known to nothing", {
      resave: false,
    }],
    ["keep-with-user", 'onSessionEnd is "keep" although user is set', {
      user: (session: TestSession) => session.user,
    }],
  ];
  for (const [code, why, options, config] of ailments) {
    it(`finds ${code} when ${why}`, () =>
      clearingIntervals(async () => {
        const codes = await diagnosed(options, config);
        assert(codes.includes(code), `found ${codes.join(", ") || "nothing"}`);
      }));
  }

  it("finds nothing in keep-with-user once sockets are disconnected", async () => {
    const codes = await diagnosed({
      user: (session) => session.user,
      onSessionEnd: "disconnect",
    });
    assertFalse(codes.includes("keep-with-user"));
  });

  it("finds middleware-never-ran until a request has passed the bridge", async () => {
    const codes = await diagnosed({}, {}, false);
    assert(codes.includes("middleware-never-ran"), codes.join());
    assertFalse((await diagnosed()).includes("middleware-never-ran"));
  });

  it("finds store-not-shared when a multi-node adapter is in use", async () => {
    await using scenario = await startScenario(CORRECT);
    await scenario.browser().get("/");
    assertEquals(scenario.bridge.doctor(), []);
    const Base = scenario.io.of("/").adapter.constructor as new (
      ...args: unknown[]
    ) => object;
    // what marks an adapter as reaching other nodes is its own serverCount or serverSideEmit
    const Cluster = class extends Base {
      serverCount() {
        return Promise.resolve(2);
      }
      serverSideEmit() {}
    };
    scenario.io.adapter(
      Cluster as unknown as Parameters<typeof scenario.io.adapter>[0],
    );
    const codes = scenario.bridge.doctor().map(({ code }) => code);
    assert(codes.includes("store-not-shared"), codes.join());
  });

  it("lists every unknown option in unknown-options, with the one that may be meant", async () => {
    await warningsOf(async () => {
      await using scenario = await startScenario({
        resave: false,
        orign: "same",
        priority: "high",
        secret: null,
      });
      const findings = scenario.bridge.doctor()
        .filter(({ code }) => code === "unknown-options");
      assertEquals(findings.map(({ severity }) => severity), ["warning"]);
      const { message, fix } = findings[0]!;
      assertMatch(message, /"resave", "orign"\./);
      assertMatch(fix, /"orign" may be origin/);
    });
  });

  it("names the standard where there is one", async () => {
    await using scenario = await startScenario({ genid: () => "short" });
    const finding = scenario.bridge.doctor().find(({ code }) =>
      code === "weak-genid"
    );
    assertMatch(finding!.standard!, /ASVS.*7\.2\.3/);
  });
});

describe("bridge.stats()", () => {
  it("counts in plain numbers", async () => {
    await using scenario = await startScenario({
      lockTimeout: 500,
      onConflict: "last",
    });
    const { bridge } = scenario;
    assertEquals(bridge.stats(), {
      sessions: 0,
      sockets: 0,
      transactions: 0,
      waits: 0,
      conflicts: 0,
      undos: 0,
      timeouts: 0,
      ended: bridge.stats().ended,
      limits: {
        waiting: 1_000,
        undos: 10_000,
        tombstones: 10_000,
        reconnects: 10_000,
        recoveries: 10_000,
      },
    });
    const { sessionId, connect } = await scenario.visit();
    const { server } = await connect();
    assertEquals([bridge.stats().sessions, bridge.stats().sockets], [1, 1]);
    const before = bridge.stats();
    const gate = deferred();
    const first = server.withSession(() => gate.promise);
    const second = server.withSession(() => 2);
    gate.resolve();
    await Promise.all([first, second]);
    const after = bridge.stats();
    assertEquals(after.transactions - before.transactions, 2);
    assertEquals(after.waits - before.waits, 1);
    assertEquals(after.timeouts, 0);
    const stuck = deferred();
    const codes = [1, 2, 3].map(() =>
      codeOf(server.withSession(() => stuck.promise))
    );
    assertEquals(await codes[2], "SESSION_TIMEOUT");
    stuck.resolve();
    await Promise.all(codes);
    assert(bridge.stats().timeouts >= 1);
    await bridge.destroy(sessionId);
    assertEquals(bridge.stats().ended.revoked, 1);
    assertEquals(bridge.stats().sessions, 0);
    for (const value of Object.values(bridge.stats().ended)) {
      assertEquals(typeof value, "number");
    }
  });
});

describe("bridge.close()", () => {
  it("undoes its hooks: origin rule, handshake middleware and adapter gate", async () => {
    const foreign = { origin: "https://evil.example" };
    await warningsOf(async () => {
      await using scenario = await startScenario();
      const { browser } = await scenario.visit();
      assertEquals((await browser.handshake(foreign)).status, 403);
      await scenario.bridge.close();
      assertEquals((await browser.handshake(foreign)).status, 200);
      const { server } = await connectPair(scenario, browser);
      assertStrictEquals((server as { clientId?: string }).clientId, undefined);
    });
  });

  it("gives a user's own allowRequest back", async () => {
    let asked = 0;
    await using scenario = await startScenario({}, {
      io: {
        allowRequest: (_req, done) => {
          asked++;
          done(null, true);
        },
      },
    });
    const { allowRequest } = scenario.io.engine.opts;
    await scenario.bridge.close();
    assert(scenario.io.engine.opts.allowRequest);
    assert(scenario.io.engine.opts.allowRequest !== allowRequest);
    assertEquals((await scenario.browser().handshake()).status, 200);
    assertEquals(asked, 1);
  });

  it("can be called twice, and is what asyncDispose does", async () => {
    const app = new Koa();
    app.keys = [SIGNING_KEY];
    const io = new Server();
    let outer;
    {
      await using bridge = bridgeSession(app, io, { key: KEY });
      outer = bridge;
    }
    await outer.close();
  });

  it("closes a store that the bridge made itself, and no other", async () => {
    for (const own of [true, false]) {
      const given = new SessionStore();
      const app = new Koa();
      app.keys = [SIGNING_KEY];
      const io = new Server();
      const bridge = bridgeSession(app, io, {
        key: KEY,
        ...(own ? {} : { store: given }),
      });
      let closed = 0;
      const store = bridge.store as { close(): void };
      const close = store.close.bind(store);
      store.close = () => {
        closed++;
        close();
      };
      await bridge.close();
      assertEquals(closed, own ? 1 : 0);
      given.close();
    }
  });

  it("leaves a user's store with the sessions in it, for the next bridge", async () => {
    const store = new FaultyAtomicStore();
    const jar = await (async () => {
      await using scenario = await startScenario({ store });
      const { browser } = await scenario.visit({ n: 1 });
      return browser.jar.clone();
    })();
    await using scenario = await startScenario({ store });
    const answer = await scenario.browser().get("/session", { jar });
    assertEquals(answer.json.session, { n: 1 });
  });
});
