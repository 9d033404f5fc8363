import { afterEach, describe, it } from "@std/testing/bdd";
import { assertEquals, assertLess, assertStrictEquals } from "@std/assert";
import { startScenario } from "../support/scenario.ts";
import { closeServers } from "../support/server.ts";
import { FaultyAtomicStore } from "../support/stores/faulty_stores.ts";
import { LateStore } from "../support/stores/late_store.ts";
import { collect, deferred, until } from "../support/wait.ts";

const user = ({ user }: { user?: unknown }) => user as string | undefined;

describe("two logins at once of one browser", () => {
  afterEach(closeServers);

  for (const basic of [true, false]) {
    it(`leave one session, on ${basic ? "a basic store" : "SessionStore"}`, async () => {
      const store = basic ? { store: new LateStore() } : {};
      const { browser, bridge } = await startScenario({ user, ...store });
      const ends = collect<[{ reason: string }]>(bridge, "sessionEnd");
      for (const name of ["ada", "bob", "cy"]) {
        const visitor = browser();
        await visitor.get("/");
        await Promise.all(
          ["a", "b", "c"].map((from) =>
            visitor.post("/session", { json: { user: name, from } })
          ),
        );
        const own = await bridge.sessionsOf(name);
        assertStrictEquals(own.length, 1);
        const { json } = await visitor.get("/session");
        assertStrictEquals(json.sessionId, own[0]!.sessionId);
      }
      assertEquals(
        ends.map(([{ reason }]) => reason),
        Array(6).fill("replaced"),
      );
    });
  }

  it("all fail within storeTimeout when the store does not answer", async () => {
    const store = new FaultyAtomicStore();
    const storeTimeout = 1_000;
    const { browser } = await startScenario({ store, storeTimeout });
    const ada = browser();
    await ada.get("/");
    store.modes.write = "hanging";
    const since = Date.now();
    const answers = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((n) => ada.post("/session", { json: { n } })),
    );
    assertLess(Date.now() - since, 3 * storeTimeout);
    assertEquals(answers.map(({ status }) => status), Array(6).fill(503));
  });

  it("leave no session behind a login that failed", async () => {
    const store = new FaultyAtomicStore();
    const { browser, bridge } = await startScenario({
      store,
      storeTimeout: 50,
    });
    const ada = browser();
    const { clientId } = (await ada.get("/")).json;
    const late = deferred();
    store.modes.write = late.promise;
    assertEquals((await ada.post("/session", { json: { n: 1 } })).status, 503);
    store.modes.write = "well";
    late.resolve();
    const undone = () => store.calls.some(([what]) => what === "destroy");
    await until(undone, "the session to go");
    assertEquals(store.inner.size, 0);
    assertEquals(await bridge.sessionIdOf(clientId), undefined);
  });
});
