import {
  assert,
  assertEquals,
  assertFalse,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { native } from "../support/app.ts";
import type { Answer } from "../support/browser.ts";
import { CookieJar, KEY, signCookie, SIGNING_KEY } from "../support/cookies.ts";
import { untilRenewed } from "../support/renewal.ts";
import { routesAndEvents } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";
import { once, pause } from "../support/wait.ts";

const names = (answer: Answer) => answer.setCookies.map(({ name }) => name);

describe("native options of koa-session", () => {
  afterEach(closeServers);

  it('maxAge: "session" sets a cookie without an end, more than once', async () => {
    const { browser } = await startServer({ maxAge: "session" }, (parts) => {
      parts.app.use(async (ctx, next) => {
        if (ctx.path === "/save") await native(ctx).save();
        await next();
      });
      routesAndEvents(parts);
    });
    const ada = browser();
    for (let n = 1; n <= 3; n++) {
      const answer = await ada.post("/session", { json: { n } });
      assertFalse("expires" in answer.cookie(KEY)!.attributes);
    }
    await ada.get("/save");
    const socket = await ada.connect();
    assertEquals(await ada.ask(socket, "add"), 4);
    const answer = await ada.post("/session", { json: { user: "ada" } });
    assertFalse("expires" in answer.cookie(KEY)!.attributes);
    assertEquals(answer.json.session, { n: 4, user: "ada" });
  });

  it("autoCommit: false stores only what manuallyCommit commits", async () => {
    const { browser } = await startServer({ autoCommit: false }, (parts) => {
      parts.app.use(async (ctx, next) => {
        await next();
        if (ctx.query.commit) await native(ctx).manuallyCommit();
      });
      routesAndEvents(parts);
    });
    const ada = browser();
    const lost = await ada.post("/session", { json: { n: 1 } });
    assertFalse(names(lost).includes(KEY));
    const kept = await ada.post("/session?commit=1", { json: { n: 2 } });
    assert(kept.cookie(KEY));
    assertEquals((await ada.get("/session")).json.session, { n: 2 });
  });

  it("rolling sets the cookie on each answer once there is a session", async () => {
    const { browser } = await startServer({ rolling: true }, routesAndEvents);
    const ada = browser();
    assertFalse(names(await ada.get("/session")).includes(KEY));
    await ada.post("/session", { json: { n: 1 } });
    const id = ada.jar.get(KEY);
    const answer = await ada.get("/session");
    assertEquals(answer.cookie(KEY)?.value, id);
  });

  it("renew sets the cookie again in the second half of its life", async () => {
    const maxAge = 600;
    const { browser } = await startServer(
      { renew: true, maxAge },
      routesAndEvents,
    );
    const ada = browser();
    await untilRenewed({
      store: () => ada.post("/session", { json: { n: 1 } }),
      read: () => ada.get("/session"),
      maxAge,
      check: ({ json }) => assertEquals(json.session, { n: 1 }),
    });
  });

  it("prefix begins the id; genid makes it whole, from the context", async () => {
    const prefixed = await startServer({ prefix: "app:" }, routesAndEvents);
    const ada = prefixed.browser();
    await ada.post("/session", { json: { n: 1 } });
    assertMatch((await ada.get("/")).json.sessionId, /^app:.{20,}$/);

    const made = await startServer({
      genid: (ctx: unknown) => {
        const { path } = ctx as { path: string };
        return `${path.slice(1)}-${Math.random()}`;
      },
    }, routesAndEvents);
    const bob = made.browser();
    await bob.post("/session", { json: { n: 1 } });
    assertMatch((await bob.get("/")).json.sessionId, /^session-0\./);
  });

  it("valid turns a session down, beforeSave writes into it", async () => {
    const { browser, app } = await startServer({
      valid: (_ctx: unknown, data: unknown) =>
        (data as { user?: string }).user !== "mallory",
      beforeSave: (_ctx: unknown, session: unknown) => {
        (session as { stamp?: string }).stamp = "seen";
      },
    }, routesAndEvents);
    const ada = browser();
    await ada.post("/session", { json: { user: "ada" } });
    assertEquals((await ada.get("/session")).json.session, {
      user: "ada",
      stamp: "seen",
    });
    await ada.post("/session", { json: { user: "mallory" } });
    const invalid = once(app as never, "session:invalid");
    assertEquals((await ada.get("/session")).json.session, {});
    const [event] = await invalid as [{ key: string; value: unknown }];
    assertEquals(event.key, ada.jar.get(KEY));
    assert(event.value);
  });

  it("valid turns a socket down as it does a request", async () => {
    const { browser } = await startServer({
      valid: (_ctx: unknown, data: unknown) =>
        (data as { user?: string }).user !== "mallory",
    }, routesAndEvents);
    const ada = browser();
    await ada.post("/session", { json: { user: "mallory" } });
    const socket = await ada.connect();
    assertEquals(await ada.ask(socket, "get"), {
      error: "Session missing",
      code: "SESSION_MISSING",
    });
  });

  it("session:missed and session:expired are emitted on the app", async () => {
    const { browser, app } = await startServer({ maxAge: 60 }, routesAndEvents);
    const ada = browser();
    const missed = once(app as never, "session:missed");
    const jar = new CookieJar([[KEY, "nobody"], [
      `${KEY}.sig`,
      signCookie(KEY, "nobody", SIGNING_KEY),
    ]]);
    await ada.get("/", { jar, keep: false });
    const [miss] = await missed as [{ key: string; ctx: unknown }];
    assertEquals(miss.key, "nobody");
    assert(miss.ctx);

    await ada.post("/session", { json: { n: 1 } });
    const id = ada.jar.get(KEY)!;
    await pause(90);
    const expired = once(app as never, "session:expired");
    assertEquals((await ada.get("/session")).json.session, {});
    const [event] = await expired as [{ key: string; value: unknown }];
    assertEquals(event.key, id);
    assertStringIncludes(JSON.stringify(event.value), '"n":1');
  });
});
