/** The option `valid`: requests and sockets that it refuses get nothing of the session. */
import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { Browser } from "../support/browser.ts";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import { unhandledIn } from "../support/errors.ts";
import { type Scenario, startScenario } from "../support/scenario.ts";
import { closeServers, type TestOptions } from "../support/server.ts";
import { until } from "../support/wait.ts";

interface Asker {
  get(header: string): string;
}

/** How a request, or a handshake, of this device looks. */
const as = (device: string) => ({ headers: { "x-device": device } });
const GOOD = as("good");
const BAD = as("bad");

/** Binds a session to the device that it was begun on. */
const options = (): TestOptions => ({
  view: ({ user }) => user,
  valid: (ctx, session) =>
    session.device === undefined ||
    session.device === (ctx as Asker).get("x-device"),
});

async function login(scenario: Scenario, browser: Browser): Promise<string> {
  scenario.route("/login", (ctx) => {
    ctx.session!.device = ctx.get("x-device");
    ctx.session!.user = "ada";
  });
  await browser.get("/login", GOOD);
  return (await browser.get("/session", GOOD)).json.sessionId;
}

/** The cookies of the session alone, as a thief may have got hold of them. */
async function sessionCookies(
  scenario: Scenario,
  browser: Browser,
): Promise<string> {
  scenario.route("/cookies", (ctx) => ctx.get("cookie"));
  const { body } = await browser.get("/cookies", GOOD);
  return body.split("; ").filter((cookie) =>
    cookie.startsWith(`${KEY}=`) || cookie.startsWith(`${KEY}.sig=`)
  ).join("; ");
}

describe("valid", () => {
  afterEach(closeServers);

  it("keeps a refused socket out of the session, whichever sockets of the client connect later", async () => {
    const scenario = await startScenario(options());
    const ada = scenario.browser();
    const sessionId = await login(scenario, ada);
    const before = await ada.connect("/", BAD);
    const good = await ada.connect("/", GOOD);
    const after = await ada.connect("/", BAD);
    assertEquals((await ada.ask(good, "get")).user, "ada");
    for (const bad of [before, after]) {
      assertEquals((await ada.ask(bad, "get")).code, "SESSION_MISSING");
      assertEquals((await ada.ask(bad, "whoami")).sessionId, undefined);
    }
    const members = await scenario.bridge.toSession(sessionId).fetchSockets();
    assertEquals(members.map(({ id }) => id), [good.id]);
    scenario.route("/rename", (ctx) => void (ctx.session!.user = "lovelace"));
    await ada.get("/rename", GOOD);
    await ada.post("/logout", GOOD);
    await ada.event(good, "session:end");
    for (const bad of [before, after]) {
      await ada.ask(bad, "whoami");
      assertEquals(ada.received(bad), []);
    }
  });

  it("lets the client's other sockets follow a login, those that it accepts", async () => {
    const scenario = await startScenario(options());
    const ada = scenario.browser();
    await ada.get("/", GOOD);
    const good = await ada.connect("/", GOOD);
    const bad = await ada.connect("/", BAD);
    await login(scenario, ada);
    await ada.event(good, "session:start");
    assertEquals((await ada.ask(good, "get")).user, "ada");
    assertEquals((await ada.ask(bad, "get")).code, "SESSION_MISSING");
  });

  it("is called again for each new session of the client", async () => {
    const scenario = await startScenario(options());
    const ada = scenario.browser();
    await login(scenario, ada);
    const good = await ada.connect("/", GOOD);
    const bad = await ada.connect("/", BAD);
    await ada.post("/logout", GOOD);
    await ada.event(good, "session:end");
    await ada.get("/login", BAD);
    await ada.event(bad, "session:start");
    assertEquals((await ada.ask(bad, "get")).device, "bad");
    assertEquals((await ada.ask(good, "get")).code, "SESSION_MISSING");
  });

  it("is called again for a client whose only socket was refused before", async () => {
    const scenario = await startScenario(options());
    const ada = scenario.browser();
    await ada.get("/", GOOD);
    const bad = await ada.connect("/", BAD);
    await login(scenario, ada);
    assertEquals((await ada.ask(bad, "get")).code, "SESSION_MISSING");
    await ada.post("/logout", GOOD);
    await ada.get("/login", BAD);
    await ada.event(bad, "session:start");
    assertEquals((await ada.ask(bad, "get")).device, "bad");
  });

  it("keeps refused sockets out when the session gets a new id", async () => {
    const scenario = await startScenario(options());
    const ada = scenario.browser();
    await login(scenario, ada);
    const good = await ada.connect("/", GOOD);
    const bad = await ada.connect("/", BAD);
    scenario.route("/regenerate", (ctx) => ctx.regenerateSession());
    await ada.get("/regenerate", GOOD);
    await ada.event(good, "session:rotated");
    assertEquals((await ada.ask(good, "get")).user, "ada");
    assertEquals((await ada.ask(bad, "get")).code, "SESSION_MISSING");
    assertEquals(ada.received(bad), []);
  });

  it("keeps no reference to a refused socket after its disconnect", async () => {
    const scenario = await startScenario(options());
    const ada = scenario.browser();
    await login(scenario, ada);
    const bad = await ada.connect("/", BAD);
    await ada.connect("/", GOOD);
    bad.disconnect();
    await until(() => scenario.io.sockets.sockets.size === 1, "the end");
    assertEquals(scenario.bridge.stats().sockets, 1);
    const again = await ada.connect("/", GOOD);
    assertEquals((await ada.ask(again, "get")).user, "ada");
  });

  it("gives a refused request neither client nor session", async () => {
    const scenario = await startScenario(options());
    const ada = scenario.browser();
    const sessionId = await login(scenario, ada);
    const { clientId } = (await ada.get("/session", GOOD)).json;
    const good = await ada.connect("/", GOOD);
    const ends: string[] = [];
    scenario.bridge.on("sessionEnd", ({ reason }) => ends.push(reason));
    let invalid = 0;
    scenario.app.on("session:invalid", () => invalid++);

    const cookie = await sessionCookies(scenario, ada);
    const thief = scenario.browser();
    const stolen = { headers: { cookie, "x-device": "bad" }, keep: false };
    const seen = await thief.get("/session", stolen);
    assertNotEquals(seen.json.clientId, clientId);
    assertNotEquals(seen.cookie(CLIENT_KEY)?.value, clientId);
    scenario.route("/write", (ctx) => void (ctx.session!.by = "thief"));
    await thief.get("/write", stolen);
    assertEquals(ends, []);
    assertEquals(invalid, 2);
    assertEquals((await ada.get("/session", GOOD)).json.sessionId, sessionId);
    assertEquals((await ada.ask(good, "get")).user, "ada");
  });

  it("is called for the session that the cookie names, and not for its client's", async () => {
    const asked: unknown[] = [];
    const given = options();
    const valid: TestOptions["valid"] = (ctx, session) => {
      asked.push(session.user);
      return given.valid!(ctx, session);
    };
    const scenario = await startScenario({ ...given, valid });
    const ada = scenario.browser();
    await login(scenario, ada);
    const cookies = await sessionCookies(scenario, ada);
    // a session that is over, of the same browser
    await ada.post("/logout", GOOD);
    const sessionId = await login(scenario, ada);
    scenario.route("/jar", (ctx) => ctx.get("cookie"));
    const all = (await ada.get("/jar", GOOD)).body.split("; ")
      .filter((cookie) => cookie.startsWith(CLIENT_KEY)).join("; ");
    const cookie = `${cookies}; ${all}`;
    asked.length = 0;
    for (const device of ["good", "bad"]) {
      const headers = { cookie, "x-device": device };
      const answer = await ada.get("/session", { headers, keep: false });
      assertEquals(answer.json.session, {});
      assertEquals(answer.cookie(KEY), undefined);
    }
    assertEquals(asked, []);
    for (const device of ["good", "bad"]) {
      const headers = { cookie, "x-device": device };
      const socket = await ada.connect("/", { headers });
      assertEquals((await ada.ask(socket, "get")).code, "SESSION_MISSING");
    }
    asked.length = 0;
    const { json } = await ada.get("/session", GOOD);
    assertEquals(json.sessionId, sessionId);
    assertEquals(asked, ["ada"]);
  });

  it("is called once per request", async () => {
    let asked = 0;
    const scenario = await startScenario({ valid: () => ++asked > 0 });
    const { browser } = await scenario.visit();
    asked = 0;
    await browser.get("/session");
    assertEquals(asked, 1);
  });

  it("refuses the socket when it throws null", async () => {
    let broken = false;
    const scenario = await startScenario({
      valid: () => {
        if (broken) throw null;
        return true;
      },
    });
    const { browser } = await scenario.visit();
    broken = true;
    const unhandled = await unhandledIn(async () => {
      await assertRejects(() => browser.connect(), Error, "Cannot open");
    });
    assertEquals(unhandled, []);
  });
});
