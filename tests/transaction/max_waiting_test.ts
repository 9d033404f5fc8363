import { assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { codeOf } from "../support/errors.ts";
import { startScenario } from "../support/scenario.ts";
import { withSqlite } from "../support/sqlite.ts";
import { deferred, pause } from "../support/wait.ts";

type Options = Parameters<typeof startScenario>[0];

function limits(options: () => Options): void {
  it("one more call than maxWaiting rejects at once, and the others run", async () => {
    await using scenario = await startScenario({
      ...options(),
      maxWaiting: 10,
    });
    const { bridge } = scenario;
    const { sessionId } = await scenario.visit();
    const gate = deferred();
    const started = deferred();
    const holder = bridge.withSession(sessionId, async () => {
      started.resolve();
      await gate.promise;
    });
    await started.promise;
    const calls = Array.from(
      { length: 30 },
      () => codeOf(bridge.withSession(sessionId, () => {})),
    );
    await pause(50);
    const other = (await scenario.visit()).sessionId;
    await bridge.withSession(other, () => {});
    gate.resolve();
    await holder;
    const codes = await Promise.all(calls);
    const refused = codes.filter((code) => code === "SESSION_TIMEOUT").length;
    // a lease in flight may not have to wait
    assertEquals([19, 20].includes(refused), true, String(refused));
    assertEquals(
      codes.filter((code) => code === undefined).length,
      30 - refused,
    );
    assertEquals(
      await codeOf(bridge.withSession(sessionId, () => {})),
      undefined,
    );
  });

  it("limits the calls that join one, and the logins of one user", async () => {
    await using scenario = await startScenario({
      ...options(),
      maxWaiting: 5,
      maxSessions: 50,
      user: ({ user }) => user,
      onUserChange: "keep",
    });
    const { bridge } = scenario;
    const { sessionId } = await scenario.visit();
    let codes: (string | undefined)[] = [];
    await bridge.withSession(sessionId, async () => {
      codes = await Promise.all(Array.from(
        { length: 10 },
        () => codeOf(bridge.withSession(sessionId, () => pause(5))),
      ));
    });
    const refused = (code?: string) => code === "SESSION_TIMEOUT";
    assertEquals(codes.filter(refused).length, 4);
    assertEquals(codes.filter((code) => code === undefined).length, 6);
    const answers = await Promise.all(Array.from(
      { length: 20 },
      () => scenario.browser().post("/session", { json: { user: "ada" } }),
    ));
    const done = answers.filter(({ status }) => status === 200).length;
    assertEquals(
      answers.length - done,
      answers.filter(({ status }) => status === 503).length,
    );
    assertEquals((await bridge.sessionsOf("ada")).length, done);
  });

  it("lockTimeout may be as long as a timer", async () => {
    await using scenario = await startScenario({
      ...options(),
      lockTimeout: 2 ** 31 - 1,
    });
    const { sessionId } = await scenario.visit();
    const { bridge } = scenario;
    const codes = await Promise.all([
      codeOf(bridge.withSession(sessionId, () => pause(50))),
      codeOf(bridge.withSession(sessionId, () => {})),
    ]);
    assertEquals(codes, [undefined, undefined]);
  });

  it("counts the calls that had to wait", async () => {
    await using scenario = await startScenario(options());
    const { bridge } = scenario;
    const { sessionId } = await scenario.visit();
    const before = bridge.stats().waits;
    await bridge.withSession(sessionId, () => pause(80));
    await bridge.withSession(sessionId, () => {});
    assertEquals(bridge.stats().waits - before, 0);
    await Promise.all([
      bridge.withSession(sessionId, () => pause(10)),
      bridge.withSession(sessionId, () => {}),
      bridge.withSession(sessionId, () => {}),
    ]);
    assertEquals(bridge.stats().waits - before, 2);
  });
}

describe("maxWaiting in this process", () => limits(() => ({})));

withSqlite(({ SqliteStore }) => {
  describe("maxWaiting on a shared store", () => {
    const stores: InstanceType<typeof SqliteStore>[] = [];
    afterEach(() => {
      for (const store of stores.splice(0)) store.close();
    });
    limits(() => {
      const store = new SqliteStore({ path: ":memory:", autoCleanup: false });
      stores.push(store);
      return { store };
    });
  });
});
