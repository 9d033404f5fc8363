/** Sockets that entered a session by their client cookie, before it was settled on another client. */
import { assertEquals, assertStrictEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { serverSocketOf } from "../support/app.ts";
import { CookieJar } from "../support/cookies.ts";
import { startScenario } from "../support/scenario.ts";
import { closeServers } from "../support/server.ts";
import { once, until } from "../support/wait.ts";

describe("a socket that followed its client into a session", () => {
  afterEach(closeServers);

  it("reconnects when the session is settled on another client, and is in it by the session cookie", async () => {
    const scenario = await startScenario();
    const browser = scenario.browser();
    const empty = new CookieJar();
    // two first requests in parallel: the answer of the second comes last
    const page = await browser.get("/", { jar: empty, keep: false });
    const other = await browser.get("/", { jar: empty, keep: false });
    browser.jar.apply(page.setCookies);
    const client = await browser.connect();
    await browser.post("/session", { json: { n: 1 } });
    const server = serverSocketOf(scenario.io, client);
    await until(() => server.sessionId !== undefined);
    browser.jar.apply(other.setCookies);
    const closed = once(client, "disconnect");
    const { sessionId } = (await browser.get("/session")).json;
    assertStrictEquals(server.sessionId, undefined);
    assertEquals((await closed)[0], "transport close");
    assertEquals(browser.received(client).map(([event]) => event), [
      "session:start",
      "session:rotated",
    ]);
    const back = await browser.connect();
    assertStrictEquals(serverSocketOf(scenario.io, back).sessionId, sessionId);
  });

  it("is left outside where it has the client cookie alone", async () => {
    const scenario = await startScenario();
    const browser = scenario.browser();
    const page = await browser.get("/");
    const planted = await browser.connect("/", { jar: browser.jar.clone() });
    await browser.post("/session", { json: { n: 1 } });
    const server = serverSocketOf(scenario.io, planted);
    await until(() => server.sessionId !== undefined);
    const other = await scenario.browser().get("/");
    browser.jar.apply(other.setCookies);
    const closed = once(planted, "disconnect");
    await browser.get("/session");
    await closed;
    const jar = new CookieJar();
    jar.apply(page.setCookies);
    const back = await browser.connect("/", { jar });
    assertStrictEquals(serverSocketOf(scenario.io, back).sessionId, undefined);
  });
});
