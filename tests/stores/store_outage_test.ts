import { describe, it } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { SessionStoreError } from "@koa-io/session";
import { mentionsSession } from "../support/browser.ts";
import { KEY } from "../support/cookies.ts";
import { codeOf, unhandledIn } from "../support/errors.ts";
import { type Scenario, startScenario } from "../support/scenario.ts";
import type { TestOptions } from "../support/server.ts";
import {
  FaultyAtomicStore,
  FaultyBasicStore,
  StoreDown,
} from "../support/stores/faulty_stores.ts";
import { collect, once, pause, settles } from "../support/wait.ts";

type FaultyStore = FaultyAtomicStore | FaultyBasicStore;

const tiers: [tier: string, make: () => FaultyStore][] = [
  ["atomic", () => new FaultyAtomicStore()],
  ["basic", () => new FaultyBasicStore()],
];

const STORE_TIMEOUT = 120;

/** A scenario on a faulty store; unhandled errors fail the test. */
async function withFaults(
  store: FaultyStore,
  act: (scenario: Scenario) => Promise<void>,
  options: TestOptions = {},
): Promise<void> {
  const unhandled = await unhandledIn(async () => {
    await using scenario = await startScenario({
      store: store as unknown as NonNullable<TestOptions["store"]>,
      storeTimeout: STORE_TIMEOUT,
      ...options,
    });
    try {
      await act(scenario);
    } finally {
      // what hangs is given up after storeTimeout: nothing of it may be left
      if (store.hung > 0) await pause(STORE_TIMEOUT + 50);
      store.modes = {};
    }
  });
  assertEquals(unhandled, []);
}

const codes = (scenario: Scenario) =>
  scenario.errors.map((error) => (error as { code?: string }).code);

for (const [tier, make] of tiers) {
  for (const mood of ["failing", "hanging"] as const) {
    describe(`a store of the ${tier} tier that is ${mood}`, () => {
      it("is a typed error to withSession(), with the store's own as the cause", async () => {
        const store = make();
        await withFaults(store, async (scenario) => {
          const { sessionId, connect } = await scenario.visit({ n: 1 });
          const { server } = await connect();
          store.all(mood);
          for (
            const call of [
              () => server.withSession(() => 1),
              () => server.withSession(() => 1, "not for this"),
              () => scenario.bridge.withSession(sessionId, () => 1),
            ]
          ) {
            const since = Date.now();
            const error = await settles(
              assertRejects(call, SessionStoreError),
              "withSession()",
              4_000,
            );
            assertEquals(error.code, "SESSION_STORE");
            if (mood === "failing") assertInstanceOf(error.cause, StoreDown);
            else assertLess(Date.now() - since, 3_000);
          }
          store.modes = {};
          assertEquals(
            await server.withSession(({ session }) => session!.n),
            1,
          );
        });
      });

      it("answers 503 over HTTP through Koa's own error handling, and keeps the cookie", async () => {
        const store = make();
        await withFaults(store, async (scenario) => {
          const { browser } = await scenario.visit({ n: 1 });
          store.all(mood);
          const answer = await browser.get("/session");
          assertEquals(answer.status, 503);
          assert(!mentionsSession(answer), answer.setCookies.join());
          assertEquals(codes(scenario), ["SESSION_STORE"]);
          store.modes = {};
          assertEquals((await browser.get("/session")).json.session, { n: 1 });
        });
      });

      it("refuses handshakes, and accepts them again after the outage", async () => {
        const store = make();
        await withFaults(store, async (scenario) => {
          const { browser, sessionId, connect } = await scenario.visit({
            n: 1,
          });
          store.all(mood);
          await settles(
            assertRejects(() => browser.connect()),
            "the handshake",
            2_000,
          );
          store.modes = {};
          const { server } = await connect();
          assertEquals(server.sessionId, sessionId);
        });
      });

      it("answers 503 when it can read but not write, and stores nothing of it", async () => {
        const store = make();
        await withFaults(store, async (scenario) => {
          const { browser, sessionId } = await scenario.visit({ n: 1 });
          store.modes = { set: mood, write: mood };
          const answer = await browser.post("/session", { json: { n: 2 } });
          assertEquals(answer.status, 503);
          assert(!mentionsSession(answer));
          assertEquals(
            await codeOf(
              scenario.bridge.withSession(sessionId, ({ session }) => {
                session!.n = 3;
              }),
            ),
            "SESSION_STORE",
          );
          store.modes = {};
          assertEquals(await scenario.peek(sessionId), { n: 1 });
          assertEquals(
            (await browser.post("/session", { json: { n: 4 } })).status,
            200,
          );
          assertEquals(await scenario.peek(sessionId), { n: 4 });
        });
      });

      it("never hides the handler's own error, and begins no session it cannot keep", async () => {
        const store = make();
        await withFaults(store, async (scenario) => {
          scenario.route("/teapot", (ctx) => {
            ctx.session!.n = 9;
            ctx.throw(418, "mine");
          });
          const { browser } = await scenario.visit({ n: 1 });
          const guest = scenario.browser();
          store.modes = { set: mood, write: mood };
          assertEquals((await browser.post("/teapot")).status, 418);
          const begun = await guest.post("/session", { json: { n: 1 } });
          assertEquals(begun.status, 503);
          assertStrictEquals(guest.jar.get(KEY), undefined);
        });
      });

      it("is a typed error to destroy(), destroyUser() and a logout, none of which claim success", async () => {
        const store = make();
        await withFaults(store, async (scenario) => {
          const { browser, sessionId } = await scenario.visit({
            n: 1,
            user: "ada",
          });
          const { bridge } = scenario;
          const ends = collect(bridge, "sessionEnd");
          store.modes = { destroy: mood };
          for (
            const call of [
              () => bridge.destroy(sessionId),
              () => bridge.destroyUser("ada"),
              () =>
                bridge.withSession(sessionId, (sessionCtx) => {
                  sessionCtx.session = null;
                }),
            ]
          ) {
            assertEquals(
              await settles(codeOf(call()), "it", 1_500),
              "SESSION_STORE",
            );
          }
          assertEquals((await browser.post("/logout")).status, 503);
          store.modes = {};
          assertEquals(ends, []);
          assertEquals(await bridge.destroy(sessionId), true);
        }, { user: (session) => session.user });
      });

      it("harms neither sockets nor the process by their activity", async () => {
        const store = make();
        await withFaults(store, async (scenario) => {
          const { browser, connect } = await scenario.visit({ n: 1 });
          const { client } = await connect();
          store.all(mood);
          for (let i = 0; i < 5; i++) await browser.ask(client, "whoami");
          client.disconnect();
          store.modes = {};
        }, { touchInterval: 1 });
      });
    });
  }
}

describe("a store that throws at once instead of rejecting", () => {
  it("rejects with a typed error", async () => {
    const store = {
      down: false,
      entries: new Map<string, Record<string, unknown>>(),
      check() {
        if (this.down) throw new StoreDown("at once");
      },
      get(sid: string) {
        this.check();
        return structuredClone(this.entries.get(sid));
      },
      set(sid: string, session: Record<string, unknown>) {
        this.check();
        this.entries.set(sid, structuredClone(session));
      },
      destroy(sid: string) {
        this.check();
        this.entries.delete(sid);
      },
    };
    await using scenario = await startScenario({ store });
    const { browser, sessionId } = await scenario.visit({ n: 1 });
    store.down = true;
    assertEquals((await browser.get("/session")).status, 503);
    assertEquals(
      await codeOf(scenario.bridge.withSession(sessionId, () => 1)),
      "SESSION_STORE",
    );
    assertEquals(
      await codeOf(scenario.bridge.destroy(sessionId)),
      "SESSION_STORE",
    );
    store.down = false;
    assertEquals((await browser.get("/session")).json.session, { n: 1 });
  });
});

describe("the error event", () => {
  it("is emitted for failures without a caller, and only where there is a listener", async () => {
    const store = new FaultyAtomicStore();
    await withFaults(store, async (scenario) => {
      const { browser, connect } = await scenario.visit({ n: 1 });
      const { client } = await connect();
      store.modes = { extend: "failing" };
      await browser.ask(client, "whoami");
      await new Promise((resolve) => setTimeout(resolve, 20));
      const told = once<[Error & { code?: string }]>(scenario.bridge, "error");
      await browser.ask(client, "whoami");
      assertEquals((await told)[0].code, "SESSION_STORE");
    }, { touchInterval: 5 });
  });
});
