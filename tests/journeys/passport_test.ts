/** koa-passport with its ordinary calls: who had the cookies before a login is not in it, and a logout ends it. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { Answer, Browser } from "../support/browser.ts";
import { KEY } from "../support/cookies.ts";
import { passportApp, passportUser } from "../support/passport_app.ts";
import {
  closeServers,
  type Stand,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { Tab } from "../support/tabs.ts";
import { collect } from "../support/wait.ts";

const serve = (options: TestOptions = {}): Promise<Stand> =>
  startServer({ user: passportUser, ...options }, passportApp);

const logIn = (
  browser: Browser,
  username = "ada",
  password = "right",
): Promise<Answer> => browser.post("/login", { json: { username, password } });

/** A browser that has visited, and so has a session without a user. */
async function visitor({ browser }: Stand): Promise<Browser> {
  const visiting = browser();
  await visiting.post("/visit");
  await visiting.post("/visit");
  return visiting;
}

/** What HTTP says of a browser's user, in the application and in the mounted one. */
async function userOf(browser: Browser): Promise<unknown> {
  const { user } = (await browser.get("/me")).json;
  assertEquals((await browser.get("/inner/me")).json.user, user);
  return user;
}

async function userOfTab({ browser, client }: Tab): Promise<unknown> {
  return await browser.ask(client, "me");
}

describe("koa-passport", () => {
  afterEach(closeServers);

  it("a login gives the browser one new id, and takes its tabs along", async () => {
    const stand = await serve();
    const ada = await visitor(stand);
    const before = (await ada.get("/me")).json.sessionId;
    const tabs = [await Tab.open(ada), await Tab.open(ada)];
    const changes = collect(stand.bridge, "userChange");
    const ends = collect(stand.bridge, "sessionEnd");
    const starts = collect(stand.bridge, "sessionStart");
    const answer = await logIn(ada);
    assertEquals(answer.status, 302);
    assertEquals(answer.headers.location, "/me");
    assert(answer.headers["content-security-policy"]);
    const { sessionId } = (await ada.get("/me")).json;
    assertNotEquals(sessionId, before);
    assertEquals(
      answer.setCookies.filter(({ name }) => name === KEY)
        .map(({ value }) => value),
      [sessionId],
    );
    assertEquals(await userOf(ada), "ada");
    for (const tab of tabs) {
      await tab.isIn(sessionId);
      assertEquals(await userOfTab(tab), "ada");
    }
    assertEquals([changes.length, ends.length, starts.length], [1, 1, 1]);
    const [change] = changes[0] as [Record<string, unknown>];
    const { from, to, ids, previousSessionId } = change;
    assertEquals([from, to, ids, previousSessionId], [
      undefined,
      "ada",
      "new",
      before,
    ]);
  });

  it("cookies and a socket that were planted stay outside the login", async () => {
    const stand = await serve();
    const eve = await visitor(stand);
    const spy = await Tab.open(eve);
    const ada = stand.browser(eve.jar.clone());
    const tab = await Tab.open(ada);
    await logIn(ada);
    const { sessionId } = (await ada.get("/me")).json;
    await tab.isIn(sessionId);
    await spy.isIn(undefined);
    assertEquals(await userOfTab(spy), null);
    assertEquals(await userOf(eve), null);
    // and with what was planted taken again
    const again = await Tab.open(eve);
    await again.isIn(undefined);
    assertEquals(await userOfTab(again), null);
    stand.bridge.toUser("ada").emit("secret");
    await ada.event(tab.client, "secret");
    for (const { received } of [spy, again]) {
      assert(!received.some(([name]) => name === "secret"));
    }
    assertEquals(await userOf(ada), "ada");
  });

  it("a logout ends both tabs, and cookies that were copied", async () => {
    const stand = await serve();
    const ada = await visitor(stand);
    await logIn(ada);
    const { sessionId: before } = (await ada.get("/me")).json;
    const copied = stand.browser(ada.jar.clone());
    const tabs = [await Tab.open(ada), await Tab.open(ada)];
    for (const tab of tabs) await tab.isIn(before);
    const answer = await ada.post("/logout");
    assertEquals(answer.status, 302);
    for (const tab of tabs) {
      assertEquals(await ada.event(tab.client, "session:end"), [
        { reason: "logout" },
      ]);
    }
    assertEquals(await userOf(ada), null);
    const { sessionId } = (await ada.get("/me")).json;
    assertNotEquals(sessionId, before);
    for (const tab of tabs) {
      await tab.isIn(sessionId);
      assertEquals(await userOfTab(tab), null);
    }
    assertEquals(await userOf(copied), null);
    const late = await Tab.open(copied);
    await late.isIn(undefined);
    assertEquals(await stand.bridge.peek(before), undefined);
    assertEquals(await stand.bridge.sessionsOf("ada"), []);
  });

  it("a browser without a session logs in, out, and in again", async () => {
    const stand = await serve();
    const ada = stand.browser();
    await ada.get("/me");
    const tabs = [await Tab.open(ada), await Tab.open(ada)];
    for (const user of ["ada", null, "bob", null, "ada"]) {
      if (user === null) await ada.post("/logout");
      else await logIn(ada, user);
      assertEquals(await userOf(ada), user);
      const { sessionId } = (await ada.get("/me")).json;
      for (const tab of tabs) {
        await tab.isIn(sessionId);
        assertEquals(await userOfTab(tab), user);
      }
    }
  });

  it("a login in place of another user ends that one", async () => {
    const stand = await serve();
    const ada = stand.browser();
    await logIn(ada);
    const tab = await Tab.open(ada);
    await logIn(ada, "bob");
    const { sessionId } = (await ada.get("/me")).json;
    await tab.isIn(sessionId);
    assertEquals(await userOfTab(tab), "bob");
    assertEquals(tab.notices.at(-1), ["session:end", { reason: "logout" }]);
    assertEquals(await stand.bridge.sessionsOf("ada"), []);
  });

  it("a refused login changes nothing", async () => {
    const stand = await serve();
    const ada = await visitor(stand);
    const { sessionId } = (await ada.get("/me")).json;
    const tab = await Tab.open(ada);
    const answer = await logIn(ada, "ada", "wrong");
    assertEquals(answer.headers.location, "/denied");
    await tab.isIn(sessionId);
    assertEquals(tab.notices, []);
    assertEquals(await userOf(ada), null);
  });

  it("a login sent twice at once is a login", async () => {
    const stand = await serve();
    const ada = await visitor(stand);
    await Promise.all([logIn(ada), logIn(ada)]);
    assertEquals(await userOf(ada), "ada");
  });

  it('"maxSessions" counts its logins', async () => {
    const stand = await serve({ maxSessions: 2 });
    const devices = [stand.browser(), stand.browser(), stand.browser()];
    for (const device of devices) await logIn(device);
    const users = [];
    for (const device of devices) users.push(await userOf(device));
    assertEquals(users, [null, "ada", "ada"]);
    assertEquals((await stand.bridge.sessionsOf("ada")).length, 2);
  });

  it("the doctor finds it where the option user is left out", async () => {
    const stand = await startServer({}, passportApp);
    const ada = await visitor(stand);
    const codes = () => stand.bridge.doctor().map(({ code }) => code);
    assert(!codes().includes("passport-without-user"));
    await logIn(ada);
    assert(codes().includes("passport-without-user"));
  });

  it("the doctor finds a user that changes three times a minute", async () => {
    let asked = 0;
    const stand = await serve({ user: () => `ada at ${asked++}` });
    const ada = stand.browser();
    for (let n = 0; n < 3; n++) await ada.post("/visit");
    assert(
      stand.bridge.doctor().some(({ code }) => code === "restless-user"),
    );
  });
});
