import { assert, assertEquals, assertFalse } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
// @ts-types="@types/keygrip"
import Keygrip from "keygrip";
import type { SessionStore } from "@koa-io/session";
import type { TestContext } from "../support/app.ts";
import type { Browser } from "../support/browser.ts";
import { warningsOf } from "../support/console.ts";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import { cacheControl, cookieNames } from "../support/handler.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  type Stand,
  startServer,
  type TestOptions,
} from "../support/server.ts";

const OPTIONS: TestOptions = {
  sameSite: "strict",
  path: "/",
  domain: "127.0.0.1",
  maxAge: 60_000,
};
const SESSION_LINES = [KEY, `${KEY}.sig`];
const ALL_LINES = [...SESSION_LINES, CLIENT_KEY, `${CLIENT_KEY}.sig`];

function start(keys: unknown, options: TestOptions): Promise<Stand> {
  return startServer({ ...OPTIONS, ...options }, (parts) => {
    parts.app.use(async (ctx: TestContext, next) => {
      if (ctx.path === "/file") {
        ctx.set("cache-control", "public, max-age=60");
        ctx.body = "file";
      } else if (ctx.path === "/read") {
        ctx.body = ctx.cookies.get(KEY, { signed: true });
        ctx.cookies.get(CLIENT_KEY, { signed: true });
      } else await next();
    });
    routesAndEvents(parts);
  }, { keys: keys as string[] });
}

/** A browser with a session whose cookies were signed before the keys were rotated. */
async function rotated(
  options: TestOptions = {},
  keys: [before: unknown, after: unknown] = [["old"], ["new", "old"]],
): Promise<{ ada: Browser; second: Stand }> {
  const first = await start(keys[0], options);
  const ada = first.browser();
  await ada.post("/session", { json: { n: 1 } });
  await ada.get("/");
  const store = first.bridge.store as SessionStore;
  const second = await start(keys[1], { store, ...options });
  return { ada: second.browser(ada.jar), second };
}

describe("cookies of an older key", () => {
  afterEach(closeServers);

  const rings = ["sha1", "sha256"].map((algorithm): [unknown, unknown] => [
    new Keygrip(["old"], algorithm),
    new Keygrip(["new", "old"], algorithm),
  ]);
  const lists: [unknown, unknown] = [["old"], ["new", "older", "old"]];
  for (const keys of [lists, ...rings]) {
    for (const clientAlwaysRoll of [true, false]) {
      const what = Array.isArray(keys[0]) ? "a list" : "a Keygrip";
      it(`are sent again whole: ${what}, clientAlwaysRoll ${clientAlwaysRoll}`, async () => {
        const { ada } = await rotated({ clientAlwaysRoll }, keys);
        const sid = ada.jar.get(KEY);
        const answer = await ada.get("/session");
        assertEquals(answer.json.session, { n: 1 });
        assertEquals(answer.cookie(KEY)?.value, sid);
        assertEquals(cookieNames(answer), ALL_LINES);
        for (const { attributes } of answer.setCookies) {
          assertEquals(attributes.samesite, "strict");
          assertEquals(attributes.domain, "127.0.0.1");
          assert("httponly" in attributes && "expires" in attributes);
        }
        const again = await ada.get("/session");
        assertFalse(cookieNames(again).includes(KEY));
        assertEquals(again.json.session, { n: 1 });
        assertEquals(cookieNames(again).length, clientAlwaysRoll ? 2 : 0);
      });
    }
  }

  it("keep the end that the session cookie had", async () => {
    const { ada } = await rotated({ maxAge: 3_600_000 });
    const { expires } = (await ada.get("/")).cookie(KEY)!.attributes;
    const left = Date.parse(expires!) - Date.now();
    assert(left > 3_590_000 && left <= 3_601_000, `${left} ms`);
  });

  it("stay without an end with maxAge: session", async () => {
    const { ada } = await rotated({ maxAge: "session" });
    const answer = await ada.get("/");
    assert(answer.cookie(KEY));
    assertFalse("expires" in answer.cookie(KEY)!.attributes);
  });

  it("leave public answers alone, and are renewed by the next", async () => {
    const { ada } = await rotated();
    const file = await ada.get("/file");
    assertEquals(file.setCookies, []);
    assertEquals(cacheControl(file), "public, max-age=60");
    assertEquals(cookieNames(await ada.get("/")), ALL_LINES);
  });

  it("are whole where the application reads them by Koa", async () => {
    const { ada } = await rotated();
    const answer = await ada.get("/read");
    assertEquals(answer.body, ada.jar.get(KEY));
    assertEquals(cookieNames(answer).sort(), ALL_LINES.toSorted());
    for (const { attributes } of answer.setCookies) {
      assertEquals(attributes.samesite, "strict");
    }
  });

  it("are not sent after a logout", async () => {
    const { ada } = await rotated();
    const answer = await ada.post("/logout");
    const lines = answer.setCookies.filter(({ name }) => name === KEY);
    assertEquals(lines.map(({ deletes }) => deletes), [true]);
  });

  it("fail nothing on a connection that is not secure", async () => {
    const { ada, second } = await rotated();
    const store = second.bridge.store as SessionStore;
    const third = await start(["new", "old"], { store, secure: true });
    const other = third.browser(ada.jar);
    await warningsOf(async () => {
      const answer = await other.get("/session");
      assertEquals(answer.status, 200);
      assertEquals(answer.json.session, { n: 1 });
      assertEquals(answer.setCookies, []);
    });
  });

  it("open sockets", async () => {
    const { ada } = await rotated();
    const socket = await ada.connect();
    assertEquals(await ada.ask(socket, "get"), { n: 1 });
  });

  it("open nothing once the key is gone, and change nothing", async () => {
    const { ada } = await rotated({}, [["old"], ["new"]]);
    const answer = await ada.get("/session");
    assertEquals(answer.json.session, {});
    assertFalse(
      cookieNames(answer).some((name) => name.startsWith(`${KEY}.s`)),
    );
  });
});
