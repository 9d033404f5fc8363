/** Writes that a store applied and whose callers were told otherwise: undone, however long the store fails. */
import { assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { BeginOptions, SessionRecord } from "@koa-io/session";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import { unhandledIn } from "../support/errors.ts";
import { startScenario } from "../support/scenario.ts";
import { closeServers, type TestOptions } from "../support/server.ts";
import {
  FaultyAtomicStore,
  FaultyBasicStore,
  StoreDown,
} from "../support/stores/faulty_stores.ts";
import { deferred, pause, until } from "../support/wait.ts";

const TIMEOUT = 80;

/** Loses the answer of the next begin, once it is applied. */
class LossyStore extends FaultyAtomicStore {
  loses: "error" | "timeout" | "late" | undefined;
  late: Promise<void> | undefined;

  override async begin(
    sid: string,
    record: SessionRecord,
    options?: BeginOptions,
  ) {
    const { loses } = this;
    this.loses = undefined;
    if (loses === "late") await this.late;
    const begun = await super.begin(sid, record, options);
    if (loses === "error") throw new StoreDown("the connection is lost");
    if (loses === "timeout") return await new Promise<never>(() => {});
    return begun;
  }
}

describe("a begin whose answer is lost", () => {
  afterEach(closeServers);

  for (const loses of ["error", "late"] as const) {
    it(`is undone although the store fails for a while: ${loses}`, async () => {
      const store = new LossyStore();
      const scenario = await startScenario({ store, storeTimeout: TIMEOUT });
      const { bridge } = scenario;
      const started: string[] = [];
      bridge.on("sessionStart", ({ sessionId }) => started.push(sessionId));
      bridge.on("error", () => {});
      const applied = deferred();
      const ada = scenario.browser();
      const clientId = (await ada.get("/")).cookie(CLIENT_KEY)!.value;
      const unhandled = await unhandledIn(async () => {
        store.loses = loses;
        store.late = applied.promise;
        store.modes = { destroy: "failing" };
        const answer = await ada.post("/session", { json: { user: "ada" } });
        assertEquals(answer.status, 503);
        assertEquals(answer.cookie(KEY), undefined);
        applied.resolve();
        await until(() => bridge.stats().undos === 1, "the pending undo");
        assertEquals(store.inner.size, 1);
        // it fails again, and is still owed
        const tries = () =>
          store.calls.filter(([operation]) => operation === "destroy").length;
        await until(() => tries() >= 2, "another attempt");
        await pause(10);
        assertEquals(bridge.stats().undos, 1);
        store.modes = {};
        await until(() => store.inner.size === 0, "the end of the record");
        await until(() => bridge.stats().undos === 0, "the end of the undo");
      });
      assertEquals(unhandled, []);
      assertEquals(started, []);
      assertEquals(await bridge.sessionIdOf(clientId), undefined);
      await ada.post("/session", { json: { user: "ada" } });
      assertEquals(started.length, 1);
      assertEquals(store.inner.size, 1);
    });
  }
});

const isSet = ({ calls }: FaultyBasicStore) => calls.at(-1)?.[0] === "set";

describe("a write that a basic store applies after its session ended", () => {
  afterEach(closeServers);

  for (const way of ["a request", "a transaction"]) {
    it(`is undone although the store fails for a while: by ${way}`, async () => {
      const store = new FaultyBasicStore();
      const scenario = await startScenario({
        store,
        storeTimeout: 1_000,
        touchInterval: false,
      } as unknown as TestOptions);
      const { bridge } = scenario;
      bridge.on("error", () => {});
      const { browser, sessionId } = await scenario.visit();
      const landed = deferred();
      const unhandled = await unhandledIn(async () => {
        const before = store.calls.length;
        store.modes = { set: landed.promise };
        const writing = way === "a request"
          ? browser.post("/session", { json: { n: 1 } })
          : bridge.withSession(sessionId, ({ session }) => {
            session!.n = 1;
          }).catch(() => {});
        await until(
          () => store.calls.length > before && isSet(store),
          "a write",
        );
        assertEquals(await bridge.destroy(sessionId), true);
        assertEquals(store.entries.size, 0);
        store.modes = { set: landed.promise, destroy: "failing" };
        landed.resolve();
        await writing;
        await until(() => bridge.stats().undos === 1, "the pending undo");
        assertEquals(store.entries.size, 1);
        // alive in the store, and dead for everything else
        assertEquals(await scenario.peek(sessionId), undefined);
        assertEquals(
          (await browser.get("/session", { keep: false })).json.session,
          {},
        );
        store.modes = {};
        await until(() => store.entries.size === 0, "the end of the record");
        await until(() => bridge.stats().undos === 0, "the end of the undo");
      });
      assertEquals(unhandled, []);
      assertEquals(await scenario.peek(sessionId), undefined);
    });
  }

  it("is not owed any more once the bridge is closed", async () => {
    const store = new LossyStore();
    const scenario = await startScenario({ store, storeTimeout: TIMEOUT });
    scenario.bridge.on("error", () => {});
    store.loses = "error";
    store.modes = { destroy: "failing" };
    await scenario.browser().post("/session", { json: { n: 1 } });
    await until(() => scenario.bridge.stats().undos === 1, "the pending undo");
    await scenario.close();
    assertEquals(scenario.bridge.stats().undos, 0);
  });
});
