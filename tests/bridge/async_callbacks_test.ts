/** Options that are functions and return a promise, which is never taken for a value. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { KEY } from "../support/cookies.ts";
import { codeOf, unhandledIn } from "../support/errors.ts";
import { type Scenario, startScenario } from "../support/scenario.ts";
import { closeServers, type TestOptions } from "../support/server.ts";
import { deferred, until } from "../support/wait.ts";

/** An option that rejects, as it would have to be awaited for that to be seen. */
const rejecting = (): Promise<never> =>
  Promise.reject(new Error("of the option"));

/** The options, whose types leave out what is given here. */
const given = (options: Record<string, unknown>) => options as TestOptions;

/** The message of the one error that the application was given. */
function errorOf({ errors }: Scenario): string {
  assertEquals(errors.length, 1);
  assert(errors[0] instanceof TypeError);
  return errors[0].message;
}

describe("an option that returns a promise", () => {
  afterEach(closeServers);

  for (
    const [name, later] of Object.entries({
      "one that is fulfilled": () => Promise.resolve(true),
      "one that is rejected": rejecting,
    })
  ) {
    it(`lets nothing into a session as valid: ${name}`, async () => {
      let valid: () => unknown = () => true;
      const scenario = await startScenario({ valid: () => valid() });
      const { browser, connect, sessionId } = await scenario.visit();
      const member = (await connect()).client;
      valid = later;
      assertEquals(
        await unhandledIn(async () => {
          const answer = await browser.get("/session");
          assertEquals(answer.status, 500);
          assertEquals(answer.body, "Internal Server Error");
          assertMatch(
            errorOf(scenario),
            /the option valid must return .*: received a promise/,
          );
          await assertRejects(() => browser.connect(), Error, "Cannot open");
        }),
        [],
      );
      valid = () => true;
      assertEquals((await browser.ask(member, "get")).n, 0);
      assertEquals((await browser.get("/session")).json.sessionId, sessionId);
    });
  }

  it("keeps the sockets of a client out of the session that begins, as valid", async () => {
    const scenario = await startScenario({ valid: rejecting });
    const failures: string[] = [];
    scenario.bridge.on("error", ({ message }) => failures.push(message));
    const ada = scenario.browser();
    await ada.get("/");
    const socket = await ada.connect();
    const unhandled = await unhandledIn(async () => {
      assertEquals(
        (await ada.post("/session", { json: { n: 1 } })).status,
        200,
      );
      assertEquals((await ada.ask(socket, "get")).code, "SESSION_MISSING");
    });
    assertEquals(unhandled, []);
    assert(failures.every((message) => message.includes("the option valid")));
    assert(failures.length > 0);
  });

  it("is sent to no client as view", async () => {
    const scenario = await startScenario({ view: rejecting });
    const failures: string[] = [];
    scenario.bridge.on("error", ({ message }) => failures.push(message));
    const unhandled = await unhandledIn(async () => {
      const { browser, connect } = await scenario.visit();
      const { client } = await connect();
      assertEquals(await browser.ask(client, "add"), 1);
      await until(() => failures.length >= 2, "both failures");
      assertEquals(browser.received(client), []);
    });
    assertEquals(unhandled, []);
    for (const message of failures) {
      assertMatch(
        message,
        /the option view must return .*: received a promise/,
      );
    }
  });

  it("is stored as no value by onConflict", async () => {
    const scenario = await startScenario({ onConflict: rejecting });
    const { browser, sessionId } = await scenario.visit();
    const [begun, go] = [deferred(), deferred()];
    scenario.route("/slow", async (ctx) => {
      ctx.session!.n = 1;
      begun.resolve();
      await go.promise;
    });
    const unhandled = await unhandledIn(async () => {
      const slow = browser.get("/slow");
      await begun.promise;
      await browser.post("/session", { json: { n: 2 } });
      go.resolve();
      assertEquals((await slow).status, 500);
    });
    assertEquals(unhandled, []);
    assertMatch(errorOf(scenario), /the option onConflict must return/);
    assertEquals(await scenario.peek(sessionId), { n: 2 });
  });

  it("leaves the life of a session as it is, as onConflict", async () => {
    const scenario = await startScenario({ onConflict: rejecting });
    const { browser, sessionId } = await scenario.visit();
    const [begun, go] = [deferred(), deferred()];
    scenario.route("/slow", async (ctx) => {
      Object.assign(ctx.session!, { maxAge: 60_000 });
      begun.resolve();
      await go.promise;
    });
    scenario.route("/other", (ctx) => {
      Object.assign(ctx.session!, { maxAge: 90_000 });
    });
    scenario.route("/life", (ctx) => `${ctx.session!.maxAge}`);
    const unhandled = await unhandledIn(async () => {
      const slow = browser.get("/slow");
      await begun.promise;
      await browser.get("/other");
      go.resolve();
      assertEquals((await slow).status, 500);
    });
    assertEquals(unhandled, []);
    assertMatch(errorOf(scenario), /the option onConflict must return/);
    assertEquals((await browser.get("/life")).body, "90000");
    assertEquals(await scenario.peek(sessionId), { n: 0 });
  });

  for (
    const [what, genid] of Object.entries({
      "a promise": rejecting,
      "an empty string": (): unknown => "",
      "a number": (): unknown => 1,
    })
  ) {
    it(`begins no session as genid: ${what}`, async () => {
      const scenario = await startScenario(given({ genid }));
      const ada = scenario.browser();
      const unhandled = await unhandledIn(async () => {
        const answer = await ada.post("/session", { json: { n: 1 } });
        assertEquals(answer.status, 500);
        assertEquals(answer.cookie(KEY), undefined);
      });
      assertEquals(unhandled, []);
      assertMatch(
        errorOf(scenario),
        /the option genid must return a non-empty string: received /,
      );
      assertEquals(scenario.bridge.stats().sessions, 0);
    });
  }

  it("names no session as externalKey.get, and refuses the handshake", async () => {
    const scenario = await startScenario(given({
      externalKey: { get: rejecting, set: () => {} },
    }));
    const ada = scenario.browser();
    const unhandled = await unhandledIn(async () => {
      assertEquals((await ada.get("/session")).status, 500);
      assertMatch(errorOf(scenario), /the option externalKey.get must return/);
      await assertRejects(() => ada.connect(), Error, "Cannot open");
    });
    assertEquals(unhandled, []);
  });

  it("is an error of the request as externalKey.set and as beforeSave", async () => {
    const externalKey = { get: () => undefined, set: rejecting };
    for (
      const [name, options] of [
        ["externalKey.set", { externalKey }],
        ["beforeSave", { beforeSave: rejecting }],
      ] as const
    ) {
      const scenario = await startScenario(given(options));
      const unhandled = await unhandledIn(async () => {
        const answer = await scenario.browser()
          .post("/session", { json: { n: 1 } });
        assertEquals(answer.status, 500);
      });
      assertEquals(unhandled, []);
      assert(errorOf(scenario).includes(`the option ${name} must return`));
    }
  });

  it("is an error of the commit as user, of a request and of a transaction", async () => {
    let user: () => unknown = () => undefined;
    const scenario = await startScenario(given({ user: () => user() }));
    const { browser, sessionId } = await scenario.visit();
    user = rejecting;
    const unhandled = await unhandledIn(async () => {
      const answer = await browser.post("/session", { json: { n: 1 } });
      assertEquals(answer.status, 500);
      const changing = scenario.bridge.withSession(sessionId, ({ session }) => {
        session!.n = 2;
      });
      assertMatch(await codeOf(changing) ?? "", /the option user must return/);
    });
    assertEquals(unhandled, []);
    assertMatch(errorOf(scenario), /the option user must return/);
    assertEquals(await scenario.peek(sessionId), { n: 0 });
  });
});
