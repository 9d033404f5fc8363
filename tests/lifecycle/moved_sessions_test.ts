/** Sessions that are given a new id while another call looks for them. */
import { assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import {
  type BeginResult,
  SessionStore,
  type StoredRecord,
} from "@koa-io/session";
import { KEY } from "../support/cookies.ts";
import { startScenario } from "../support/scenario.ts";
import { closeServers } from "../support/server.ts";
import { closeStores, closing } from "../support/stores/memory_stores.ts";

/** A store that calls hooks between its steps, as calls of other nodes would come there. */
class HookedStore extends SessionStore {
  /** Called once, after the next look-up by user. */
  afterByUser: (() => void) | undefined;
  /** Called once, after the next begin. */
  afterBegin: (() => void) | undefined;

  override byUser(user: string): readonly string[] {
    const sids = super.byUser(user);
    this.#call("afterByUser");
    return sids;
  }

  override begin(...args: Parameters<SessionStore["begin"]>): BeginResult {
    const begun = super.begin(...args);
    this.#call("afterBegin");
    return begun;
  }

  /** Moves a session as another node would. */
  moveAway(from: string, to: string): void {
    const record = this.read(from) as StoredRecord;
    const expected = { expected: record.version };
    assertEquals(
      super.move(from, to, record, expected, "follow").status,
      "done",
    );
  }

  #call(name: "afterByUser" | "afterBegin"): void {
    const hook = this[name];
    this[name] = undefined;
    hook?.();
  }
}

const user = ({ user }: { user?: string }) => user;

describe("a session that is moved while another call looks for it", () => {
  afterEach(async () => {
    await closeServers();
    closeStores();
  });

  it("is ended by destroyUser", async () => {
    const store = closing(new HookedStore()) as HookedStore;
    const { bridge, visit } = await startScenario({ store, user });
    const { sessionId } = await visit({ user: "ada" });
    store.afterByUser = () => store.moveAway(sessionId, "moved");
    assertEquals(await bridge.destroyUser("ada"), 1);
    assertEquals(await bridge.peek("moved"), undefined);
  });

  it("is listed once by sessionsOf", async () => {
    const store = closing(new HookedStore()) as HookedStore;
    const { bridge, visit } = await startScenario({ store, user });
    const { sessionId } = await visit({ user: "ada" });
    store.afterByUser = () => store.moveAway(sessionId, "moved");
    const sessions = await bridge.sessionsOf("ada");
    assertEquals(sessions.map(({ sessionId }) => sessionId), ["moved"]);
  });

  it("is replaced by the session that its client begins", async () => {
    const store = closing(new HookedStore()) as HookedStore;
    const { bridge, visit } = await startScenario({ store });
    const { browser, sessionId, clientId } = await visit({ n: 1 });
    store.afterBegin = () => store.moveAway(sessionId, "moved");
    browser.jar.delete(KEY);
    const began = await browser.post("/session", { json: { n: 2 } });
    assertEquals(await bridge.peek("moved"), undefined);
    const current = await bridge.sessionIdOf(clientId);
    assertEquals(current, began.cookie(KEY)?.value);
  });
});
