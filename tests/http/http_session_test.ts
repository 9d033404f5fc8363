import {
  assert,
  assertEquals,
  assertFalse,
  assertMatch,
  assertNotEquals,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { SessionStore } from "@koa-io/session";
import type { Answer } from "../support/browser.ts";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import { routesAndEvents } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";

const names = (answer: Answer) => answer.setCookies.map(({ name }) => name);

describe("ctx.session", () => {
  afterEach(closeServers);

  it("is kept from one request to the next", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    await ada.post("/session", { json: { user: "ada" } });
    await ada.post("/session", { json: { n: 1 } });
    const { session } = (await ada.get("/session")).json;
    assertEquals(session, { user: "ada", n: 1 });
  });

  it("is another one for another browser", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    const bob = browser();
    await ada.post("/session", { json: { user: "ada" } });
    await bob.post("/session", { json: { user: "bob" } });
    assertEquals((await ada.get("/session")).json.session, { user: "ada" });
    assertEquals((await bob.get("/session")).json.session, { user: "bob" });
  });

  it("can be replaced as a whole", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    await ada.post("/session", { json: { user: "ada", n: 1 } });
    await ada.post("/replace", { json: { n: 2 } });
    assertEquals((await ada.get("/session")).json.session, { n: 2 });
  });

  it("is not stored while it is empty, and sets no session cookie", async () => {
    const { browser, bridge } = await startServer({}, routesAndEvents);
    const answer = await browser().get("/session");
    assertEquals(answer.json.session, {});
    assertFalse(names(answer).includes(KEY));
    assertEquals((bridge.store as SessionStore).size, 0);
  });

  it("sets no session cookie when it was only read", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    assertFalse(names(await ada.get("/session")).includes(KEY));
    assertFalse(names(await ada.get("/")).includes(KEY));
  });

  it("set to null ends the session and removes its cookie", async () => {
    const { browser, bridge } = await startServer({}, routesAndEvents);
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    const before = ada.jar.clone();
    const answer = await ada.post("/logout");
    assert(answer.cookie(KEY)?.deletes);
    assertEquals((bridge.store as SessionStore).size, 0);
    // a copy of the old cookie opens nothing
    const { json } = await ada.get("/session", { jar: before });
    assertEquals(json.session, {});
    assertEquals(json.sessionId, undefined);
  });

  it("set to something else than an object answers 500", async () => {
    const { browser, errors } = await startServer({}, ({ app }) => {
      app.use((ctx) => {
        ctx.session = "ada" as never;
      });
    });
    assertEquals((await browser().get("/")).status, 500);
    assertEquals(errors.length, 1);
  });

  it("keeps what a handler stored before it threw", async () => {
    const { browser } = await startServer({}, (parts) => {
      parts.app.use(async (ctx, next) => {
        if (ctx.path !== "/throws") return await next();
        ctx.session!.n = 2;
        ctx.throw(418);
      });
      routesAndEvents(parts);
    });
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    assertEquals((await ada.get("/throws")).status, 418);
    assertEquals((await ada.get("/session")).json.session, { n: 2 });
  });
});

describe("ctx.sessionId", () => {
  afterEach(closeServers);

  it("is undefined until the session is stored, then its id", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    assertEquals((await ada.get("/")).json.sessionId, undefined);
    const first = await ada.post("/session", { json: { n: 1 } });
    assertEquals(first.json.sessionId, undefined);
    assertEquals((await ada.get("/")).json.sessionId, ada.jar.get(KEY));
  });

  it("is undefined after the session ended", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    await ada.post("/logout");
    assertEquals((await ada.get("/")).json.sessionId, undefined);
  });

  it("is a new one for the session after", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    const { sessionId } = (await ada.get("/")).json;
    await ada.post("/logout");
    await ada.post("/session", { json: { n: 1 } });
    assertNotEquals((await ada.get("/")).json.sessionId, sessionId);
  });
});

describe("ctx.clientId", () => {
  afterEach(closeServers);

  it("is there on the very first request, and is the client cookie", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    const { clientId } = (await ada.get("/")).json;
    assertMatch(clientId, /^[\w-]{20,}$/);
    assertEquals(ada.jar.get(CLIENT_KEY), clientId);
  });

  it("stays the same through sessions", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const ada = browser();
    const { clientId } = (await ada.get("/")).json;
    await ada.post("/session", { json: { n: 1 } });
    await ada.get("/");
    await ada.post("/logout");
    await ada.post("/session", { json: { n: 2 } });
    assertEquals((await ada.get("/")).json.clientId, clientId);
  });

  it("is seen by every middleware after the bridge", async () => {
    const { browser } = await startServer({}, ({ app }) => {
      app.use((ctx) => {
        ctx.body = ctx.clientId;
      });
    });
    const ada = browser();
    assertEquals((await ada.get("/")).body, ada.jar.get(CLIENT_KEY));
  });
});
