import { assert, assertEquals, assertGreater } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { connectedScenario } from "../support/connected_scenario.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";
import { collect, once, pause, until } from "../support/wait.ts";

type Notice = [{ inMs: number }];

const stores: Record<string, () => TestOptions> = {
  "the default store": () => ({}),
  "a custom store": () => ({ store: fakeStore() }),
};

for (const [kind, store] of Object.entries(stores)) {
  describe(`the option expiringNotice on ${kind}`, () => {
    afterEach(closeServers);

    const options = (): TestOptions => ({
      ...store(),
      maxAge: 400,
      expiringNotice: 200,
      touchInterval: false,
    });

    it("notifies each socket of the session, once, and in time", async () => {
      // long enough for both to be there before the notice, on a busy machine too
      const patient = { ...options(), maxAge: 1_500, expiringNotice: 700 };
      const { ada, client } = await connectedScenario({ n: 1 }, patient);
      const other = await ada.connect();
      const [{ inMs }] = await ada.event(client, "session:expiring") as Notice;
      assert(inMs > 0 && inMs <= 700, `${inMs}`);
      await ada.event(other, "session:expiring");
      for (const socket of [client, other]) {
        await ada.event(socket, "session:end");
        const told = ada.received(socket).map(([name]) => name);
        assertEquals(told, ["session:expiring", "session:end"]);
      }
    });

    it("sends no notice while activity prolongs the session, and one afterwards", async () => {
      const { ada, client } = await connectedScenario({ n: 1 }, options());
      const notices = collect<Notice>(client, "session:expiring");
      for (let i = 0; i < 5; i++) {
        await ada.ask(client, "add");
        await pause(60);
      }
      assertEquals(notices.length, 0);
      await until(() => notices.length === 1, "a notice");
      await ada.ask(client, "add");
      await until(() => notices.length === 2, "another one");
      assertGreater(notices[1]![0].inMs, 0);
    });
  });
}

describe("the option expiringNotice", () => {
  afterEach(closeServers);

  it("notifies a socket at once that connects within the notice period", async () => {
    const { ada, client } = await connectedScenario({ n: 1 }, {
      maxAge: 1_000,
      expiringNotice: 990,
    });
    await ada.event(client, "session:expiring");
    const late = await ada.connect();
    const [{ inMs }] = await ada.event(late, "session:expiring") as Notice;
    assert(inMs > 0 && inMs <= 990, `${inMs}`);
  });

  it("is off by default", async () => {
    const { ada, client } = await connectedScenario({ n: 1 }, {
      // long enough for the socket to be there before, on a busy machine too
      maxAge: 1_000,
    });
    await ada.event(client, "session:end");
    assertEquals(ada.received(client).map(([name]) => name), ["session:end"]);
  });

  it("does not read the store for sessions without sockets", async () => {
    const store = fakeStore();
    const { browser } = await startServer(
      { store, maxAge: 300, expiringNotice: 250 },
      ({ app }) => {
        app.use((ctx) => {
          ctx.session!.n = 1;
          ctx.body = {};
        });
      },
    );
    await browser().get("/");
    const calls = store.calls.length;
    await pause(120);
    assertEquals(store.calls.length, calls);
  });

  it("emits the store's error, and retries", async () => {
    const store = fakeStore();
    const { ada, client, bridge } = await connectedScenario({ n: 1 }, {
      store,
      maxAge: 3_000,
      expiringNotice: 2_950,
      storeTimeout: 50,
    });
    const failed = once(bridge, "error");
    store.fault = "reject";
    await failed;
    store.fault = "none";
    await ada.event(client, "session:expiring");
  });
});
