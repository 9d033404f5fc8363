import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertLess,
  assertRejects,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { connectedScenario } from "../support/connected_scenario.ts";
import { KEY } from "../support/cookies.ts";
import { unhandledIn } from "../support/errors.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import {
  fakeStore,
  type Fault,
  STORE_FAILURE,
} from "../support/stores/fake_store.ts";
import { deferred, pause } from "../support/wait.ts";

const TIMEOUT = 80;

/** A scenario whose store can be made to fail. */
async function faulty() {
  const store = fakeStore();
  const set = await connectedScenario({ n: 1 }, {
    store,
    storeTimeout: TIMEOUT,
    touchInterval: false,
  } as TestOptions);
  return { ...set, store };
}

const faults: Fault[] = ["throw", "reject", "hang", "reject late"];

for (const fault of faults) {
  const does = fault === "hang"
    ? "hangs"
    : fault === "reject late"
    ? "rejects when nobody waits any more"
    : `${fault}s`;
  describe(`a store that ${does}`, () => {
    afterEach(closeServers);

    it("answers 503 over HTTP, without details", async () => {
      const { ada, store, errors } = await faulty();
      const unhandled = await unhandledIn(async () => {
        store.fault = fault;
        const answer = await ada.get("/session");
        assertEquals(answer.status, 503);
        assertFalse(answer.body.includes(STORE_FAILURE));
        assertEquals(answer.cookie(KEY), undefined);
        await pause(60);
      });
      assertEquals(unhandled, []);
      assert(errors.length > 0);
    });

    it("answers 503 when it fails at the commit", async () => {
      for (const operation of ["set", "destroy"]) {
        const { ada, store } = await faulty();
        const unhandled = await unhandledIn(async () => {
          store.only = operation;
          store.fault = fault;
          const path = operation === "set" ? "/session" : "/logout";
          const answer = await ada.post(path, { json: { n: 2 } });
          assertEquals(answer.status, 503, operation);
          await pause(60);
        });
        assertEquals(unhandled, []);
      }
    });

    it("refuses the handshake, without details", async () => {
      const { ada, store } = await faulty();
      const unhandled = await unhandledIn(async () => {
        store.fault = fault;
        for (const transports of [["websocket"], ["polling"]]) {
          const error = await assertRejects(() =>
            ada.connect("/", { transports })
          );
          assertInstanceOf(error, Error);
          const told = `${error.message}${
            JSON.stringify((error as { data?: unknown }).data ?? null)
          }`;
          assertFalse(told.includes(STORE_FAILURE), told);
        }
        await pause(60);
      });
      assertEquals(unhandled, []);
    });

    it("rejects withSession within storeTimeout, typed", async () => {
      for (const operation of ["get", "set", "destroy"]) {
        const { socket, store } = await faulty();
        const unhandled = await unhandledIn(async () => {
          store.only = operation;
          store.fault = fault;
          const since = Date.now();
          const error = await assertRejects(() =>
            socket.withSession((sessionCtx) => {
              if (operation === "destroy") sessionCtx.session = null;
              else sessionCtx.session!.n = 2;
            }, "missing")
          ) as Error & { code?: string };
          assertLess(Date.now() - since, TIMEOUT + 3_000);
          assert(
            ["SESSION_STORE", "SESSION_TIMEOUT"].includes(error.code ?? ""),
            `${operation}: ${error}`,
          );
          if (fault === "throw" || fault === "reject") {
            assertEquals(error.code, "SESSION_STORE");
            assertEquals((error.cause as Error).message, STORE_FAILURE);
          }
          await pause(60);
        });
        assertEquals(unhandled, []);
      }
    });

    it("serves sessions again after the fault", async () => {
      const { ada, client, store } = await faulty();
      const unhandled = await unhandledIn(async () => {
        store.fault = fault;
        await Promise.all([
          ada.get("/session"),
          ada.ask(client, "add"),
          ada.ask(client, "add"),
          ada.connect().catch(() => {}),
        ]);
        await pause(60);
        store.fault = "none";
        assertEquals(await ada.ask(client, "add"), 2);
        assertEquals((await ada.get("/session")).json.session, { n: 2 });
        const again = await ada.connect();
        assertEquals(await ada.ask(again, "add"), 3);
      });
      assertEquals(unhandled, []);
    });
  });
}

describe("a store that fails", () => {
  afterEach(closeServers);

  it("does not hide the handler's own error", async () => {
    const store = fakeStore();
    const { browser } = await startServer({ store } as TestOptions, (parts) => {
      parts.app.use(async (ctx, next) => {
        if (ctx.path !== "/teapot") return await next();
        ctx.session!.n = 2;
        store.fault = "reject";
        ctx.throw(418);
      });
      routesAndEvents(parts);
    });
    const ada = browser();
    assertEquals((await ada.get("/teapot")).status, 418);
  });

  it("is not read for a visitor without cookies", async () => {
    const store = fakeStore();
    const { browser } = await startServer(
      { store } as TestOptions,
      routesAndEvents,
    );
    store.fault = "reject";
    const guest = browser();
    assertEquals((await guest.get("/session")).status, 200);
    const socket = await browser().connect();
    assert(socket.connected);
  });

  it("applies a write late, and loses none that was acknowledged after it", async () => {
    const store = fakeStore();
    const { socket } = await connectedScenario({ n: 0 }, {
      store,
      storeTimeout: TIMEOUT,
      touchInterval: false,
    } as TestOptions);
    const { set } = store;
    const late = deferred();
    store.set = async (...args) => {
      store.set = set;
      await late.promise;
      return await set(...args);
    };
    const add = () =>
      socket.withSession(({ session }) => {
        session.n = session.n as number + 1;
      });
    const failed = await assertRejects(add) as { code?: string };
    assertEquals(failed.code, "SESSION_STORE");
    const next = add();
    await pause(5);
    late.resolve();
    await next;
    // the late write counts: it was neither confirmed nor refused
    assertEquals(store.peek(socket.sessionId!)?.n, 2);
  });
});
