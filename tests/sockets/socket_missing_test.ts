import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { SessionMissingError, type SessionStore } from "@koa-io/session";
import { serverSocketOf, type TestSocket } from "../support/app.ts";
import { connectedScenario } from "../support/connected_scenario.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";

describe("socket.withSession without a session", () => {
  afterEach(closeServers);

  const never = () => {
    throw new Error("the handler was called");
  };

  /** A socket that never had a session, and one whose session was lost by the store. */
  async function missing(): Promise<TestSocket[]> {
    const guest = await connectedScenario(null);
    const store = fakeStore();
    const lost = await connectedScenario({ n: 1 }, { store } as TestOptions);
    store.lose(lost.sessionId);
    return [guest.socket, lost.socket];
  }

  it('throws an Error "Session missing" with a code', async () => {
    for (const socket of await missing()) {
      const error = await assertRejects(() => socket.withSession(never));
      assertInstanceOf(error, SessionMissingError);
      assertEquals(error.message, "Session missing");
      assertEquals(error.code, "SESSION_MISSING");
    }
  });

  it("throws the Error that onMissing is", async () => {
    const mine = new RangeError("log in first");
    for (const socket of await missing()) {
      const error = await assertRejects(() => socket.withSession(never, mine));
      assertStrictEquals(error, mine);
    }
  });

  it("calls the function that onMissing is", async () => {
    for (const socket of await missing()) {
      assertEquals(await socket.withSession(never, () => 7), 7);
      assertEquals(await socket.withSession(never, async () => await 8), 8);
      const error = await assertRejects(
        () =>
          socket.withSession(never, () => {
            throw new Error("mine");
          }),
        Error,
      );
      assertEquals(error.message, "mine");
    }
  });

  it("returns any other onMissing as it is, undefined too", async () => {
    const fallback = { ok: false };
    for (const socket of await missing()) {
      assertStrictEquals(await socket.withSession(never, fallback), fallback);
      for (const value of [undefined, null, 0, "", false]) {
        assertStrictEquals(await socket.withSession(never, value), value);
      }
    }
  });

  it("never creates one", async () => {
    const { socket, bridge, sessionId } = await connectedScenario(null);
    await socket.withSession(({ session }) => session!.n = 1, null);
    assertEquals((bridge.store as SessionStore).size, 0);
    assertEquals(sessionId, undefined);
    assertEquals(socket.sessionId, undefined);
  });

  it("serves a socket that brought no cookie at all", async () => {
    const { io, browser } = await startServer({}, routesAndEvents);
    const socket = serverSocketOf(io, await browser().connect());
    assertEquals(socket.sessionId, undefined);
    assertEquals(await socket.withSession(never, "none"), "none");
  });
});

describe("sessionCtx.session = null", () => {
  afterEach(closeServers);

  it("destroys the session for sockets and HTTP", async () => {
    const { socket, ada, bridge } = await connectedScenario({ n: 1 });
    const result = await socket.withSession((sessionCtx) => {
      sessionCtx.session = null;
      return "gone";
    });
    assertEquals(result, "gone");
    assertEquals((bridge.store as SessionStore).size, 0);
    assertEquals(socket.sessionId, undefined);
    assertEquals(await socket.withSession(() => 1, "missing"), "missing");
    assertEquals((await ada.get("/session")).json.session, {});
  });

  it("in a handler that throws destroys nothing", async () => {
    const { socket } = await connectedScenario({ n: 1 });
    await assertRejects(() =>
      socket.withSession((sessionCtx) => {
        sessionCtx.session = null;
        throw new Error("no");
      })
    );
    assertEquals(await socket.withSession(({ session }) => session!.n), 1);
  });
});
