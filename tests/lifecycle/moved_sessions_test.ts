/** Sessions that are given a new id while another call looks for them. */
import { assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import {
  type BeginResult,
  type MoveResult,
  SessionStore,
  type StoredRecord,
} from "@koa-io/session";
import { KEY } from "../support/cookies.ts";
import { startScenario } from "../support/scenario.ts";
import { closeServers } from "../support/server.ts";
import { closeStores, closing } from "../support/stores/memory_stores.ts";
import { collect, deferred, pause, until } from "../support/wait.ts";

/** A store that calls hooks between its steps, as calls of other nodes would come there. */
class HookedStore extends SessionStore {
  /** Called once, after the next look-up by user. */
  afterByUser: (() => void) | undefined;
  /** Called once, after the next begin. */
  afterBegin: (() => void) | undefined;
  /** Delays the answers of moves, which take effect at once. */
  moved: Promise<void> | undefined;

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

  override move(...args: Parameters<SessionStore["move"]>): MoveResult {
    const result = super.move(...args);
    return (this.moved ? this.moved.then(() => result) : result) as MoveResult;
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

  it("starts once where a read of this process finds it before the move is answered", async () => {
    const store = closing(new HookedStore()) as HookedStore;
    const { bridge, visit, route } = await startScenario({ store });
    const { browser, clientId } = await visit({ n: 1 });
    route("/regenerate", (ctx) => ctx.regenerateSession());
    const starts = collect<[{ sessionId: string; cause: string }]>(
      bridge,
      "sessionStart",
    );
    const answered = deferred();
    store.moved = answered.promise;
    const regenerating = browser.get("/regenerate");
    let moved: string | undefined;
    await until(() => {
      moved = store.byClient(clientId);
      return moved !== browser.jar.get(KEY);
    });
    // a guest of the client, which asks the store for the client's session
    const jar = browser.jar.clone();
    jar.delete(KEY);
    await browser.connect("/", { jar });
    await pause(20);
    answered.resolve();
    await regenerating;
    assertEquals(
      starts.map(([{ sessionId, cause }]) => [sessionId, cause]),
      [[moved, "rotated"]],
    );
  });

  it("is ended under its new id once the move is answered", async () => {
    const store = closing(new HookedStore()) as HookedStore;
    const { bridge, visit, route } = await startScenario({ store, user });
    const { browser, sessionId } = await visit({ user: "ada" });
    route("/regenerate", (ctx) => ctx.regenerateSession());
    const events: string[] = [];
    bridge.on("sessionStart", ({ cause }) => events.push(`start ${cause}`));
    bridge.on("sessionEnd", ({ reason }) => events.push(`end ${reason}`));
    const answered = deferred();
    store.moved = answered.promise;
    const moving = browser.get("/regenerate");
    await until(() => !store.has(sessionId));
    const destroying = bridge.destroyUser("ada");
    await pause(20);
    answered.resolve();
    await moving;
    assertEquals(await destroying, 1);
    assertEquals(store.size, 0);
    assertEquals(events, ["end rotated", "start rotated", "end revoked"]);
  });
});
