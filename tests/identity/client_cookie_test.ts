import { assert, assertEquals, assertFalse } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { SessionStore } from "@koa-io/session";
import type { Answer } from "../support/browser.ts";
import {
  CLIENT_KEY,
  KEY,
  signCookie,
  SIGNING_KEY,
} from "../support/cookies.ts";
import { routesAndEvents } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";

const names = (answer: Answer) => answer.setCookies.map(({ name }) => name);
const lifeOf = (answer: Answer, name: string) =>
  Date.parse(answer.cookie(name)?.attributes.expires ?? "") - Date.now();

describe("the client cookie", () => {
  afterEach(closeServers);

  it("has the session cookie's attributes", async () => {
    const { browser } = await startServer({
      sameSite: "strict",
      httpOnly: false,
      path: "/session",
      domain: "example.org",
    }, routesAndEvents);
    const answer = await browser().post("/session", { json: { n: 1 } });
    for (const name of [KEY, CLIENT_KEY]) {
      const { attributes } = answer.cookie(name)!;
      assertEquals(attributes.samesite, "strict");
      assertEquals(attributes.path, "/session");
      assertEquals(attributes.domain, "example.org");
      assertFalse("httponly" in attributes);
    }
  });

  it("is secure where the session cookie is", async () => {
    const { browser } = await startServer({ secure: true }, (parts) => {
      parts.app.proxy = true;
      routesAndEvents(parts);
    });
    const answer = await browser().post("/session", {
      json: { n: 1 },
      headers: { "x-forwarded-proto": "https" },
    });
    for (const name of [KEY, CLIENT_KEY]) {
      assert("secure" in answer.cookie(name)!.attributes);
    }
  });

  it("has the name clientKey and lives for clientMaxAge", async () => {
    const { browser } = await startServer(
      { clientKey: "who", clientMaxAge: 60_000 },
      routesAndEvents,
    );
    const ada = browser();
    const answer = await ada.get("/");
    const life = lifeOf(answer, "who");
    assert(life > 55_000 && life <= 61_000, `${life}`);
    assertEquals(ada.jar.get("who"), answer.json.clientId);
    assertFalse(names(answer).includes(CLIENT_KEY));
  });

  it("is refreshed on each answer", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    const { value } = (await ada.get("/")).cookie(CLIENT_KEY)!;
    for (let i = 0; i < 2; i++) {
      const answer = await ada.get("/");
      assertEquals(answer.cookie(CLIENT_KEY)?.value, value);
      assert(answer.cookie(`${CLIENT_KEY}.sig`));
    }
  });

  it("is set once with clientAlwaysRoll: false", async () => {
    const { browser } = await startServer(
      { clientAlwaysRoll: false },
      routesAndEvents,
    );
    const ada = browser();
    const { clientId } = (await ada.get("/")).json;
    const answer = await ada.get("/");
    assertEquals(answer.setCookies, []);
    assertEquals(answer.json.clientId, clientId);
  });

  it("is not signed with signed: false, nor is the session's", async () => {
    const { browser } = await startServer({ signed: false }, routesAndEvents);
    const ada = browser();
    const answer = await ada.post("/session", { json: { n: 1 } });
    assertEquals(names(answer).sort(), [KEY, CLIENT_KEY].sort());
    assertEquals((await ada.get("/session")).json.session, { n: 1 });
  });

  it("is signed as Koa signs, as is the session's", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    for (const name of [KEY, CLIENT_KEY]) {
      const signature = signCookie(name, ada.jar.get(name)!, SIGNING_KEY);
      assertEquals(ada.jar.get(`${name}.sig`), signature);
    }
  });

  it("is accepted with a signature of an older key, as is the session's", async () => {
    const first = await startServer({}, routesAndEvents, { keys: ["old"] });
    const ada = first.browser();
    await ada.post("/session", { json: { n: 1 } });
    await ada.get("/");
    const { clientId } = (await ada.get("/")).json;
    const store = first.bridge.store as SessionStore;
    const second = await startServer({ store }, routesAndEvents, {
      keys: ["new", "old"],
    });
    const again = second.browser();
    for (const name of ada.jar.names()) again.jar.set(name, ada.jar.get(name)!);
    const { json } = await again.get("/session");
    assertEquals(json.session, { n: 1 });
    assertEquals(json.clientId, clientId);
    const name = CLIENT_KEY;
    assertEquals(
      again.jar.get(`${name}.sig`),
      signCookie(name, clientId, "new"),
    );
  });
});
