/**
 * Two tabs of a real Chromium at an application with passport: both show who is
 * logged in. Deno only, as it strips the types from the client.
 */
import { assertEquals } from "@std/assert";
import { afterAll, afterEach, describe } from "@std/testing/bdd";
import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import type { Page } from "playwright-core";
import { passportApp, passportUser } from "../support/passport_app.ts";
import {
  CHROMIUM,
  closeChromium,
  closeContexts,
  inPage,
  newContext,
} from "../support/chromium.ts";
import { itNeeds } from "../support/requires.ts";
import {
  closeServers,
  type ServerConfig,
  type Stand,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { settles } from "../support/wait.ts";

/** How long a tab may show what is not true, in ms. */
const LIMIT = 3_000;

const CLIENT = stripTypeScriptTypes(
  readFileSync(new URL(import.meta.resolve("@koa-io/session/client")), "utf8"),
);

// helmet lets a page run files of its own origin only
const FILES: Readonly<Record<string, string>> = {
  "/client.js": CLIENT,
  "/bare.js": `
    const socket = io();
    const show = async () => {
      const user = await socket.timeout(1000).emitWithAck("me").catch(() => undefined);
      if (user !== undefined) document.querySelector("#user").textContent = user ?? "guest";
    };
    for (const event of ["connect", "session:start", "session:end"]) socket.on(event, show);`,
  "/followed.js": `
    import { followSession } from "/client.js";
    const socket = io();
    const client = followSession(socket, { refresh: "/refresh" });
    setInterval(() => {
      if (client.state === "connecting") return;
      document.querySelector("#user").textContent = client.view?.user ?? "guest";
    }, 20);`,
};

const page = (script: string) =>
  `<!DOCTYPE html>
  <link rel="icon" href="data:,">
  <script src="/socket.io/socket.io.js"></script>
  <script type="module" src="${script}"></script>
  <p id="user"></p>
  <form id="in" method="post" action="/login">
    <input name="username"><input name="password" type="password">
    <button>Log in</button>
  </form>
  <form id="out" method="post" action="/logout"><button>Log out</button></form>`;

/** Before the bridge: files without cookies, and the page with them. */
function filesAnd(html: string): NonNullable<ServerConfig["prepare"]> {
  return ({ app }) => {
    app.use(async (ctx, next) => {
      const file = FILES[ctx.path];
      if (file !== undefined) {
        ctx.set("content-type", "text/javascript");
        ctx.body = file;
      } else if (ctx.path === "/") {
        await next();
        ctx.set("content-type", "text/html");
        ctx.body = html;
      } else await next();
    });
  };
}

function serve(script: string, options: TestOptions = {}): Promise<Stand> {
  return startServer(
    {
      user: passportUser,
      view: (session) => ({ user: passportUser(session) }),
      ...options,
    },
    (parts) => {
      const refresh = parts.bridge.refresh();
      parts.app.use((ctx, next) =>
        ctx.path === "/refresh" ? refresh(ctx) : next()
      );
      passportApp(parts, "/");
    },
    { prepare: filesAnd(page(script)) },
  );
}

/** How a tab logs in and out. */
interface Manner {
  logIn(page: Page, user: string): Promise<unknown>;
  logOut(page: Page): Promise<unknown>;
}

const MANNERS: Readonly<Record<string, Manner>> = {
  "a form": {
    async logIn(page, user) {
      await page.fill("#in [name=username]", user);
      await page.fill("#in [name=password]", "right");
      await page.click("#in button");
    },
    logOut: (page) => page.click("#out button"),
  },
  "fetch": {
    logIn: (page, username) =>
      inPage(
        page,
        `fetch("/login", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '${JSON.stringify({ username, password: "right" })}',
      }).then(() => {})`,
      ),
    logOut: (page) =>
      inPage(page, `fetch("/logout", { method: "POST" }).then(() => {})`),
  },
};

/** Waits until a tab shows this user. */
async function shows(page: Page, user: string): Promise<void> {
  // helmet forbids what evaluates text, as `waitForFunction` does
  const shown = page.locator("#user").filter({ hasText: user });
  await shown.waitFor({ timeout: LIMIT }).catch(async () => {
    const seen = await page.textContent("#user");
    throw new Error(`"${seen}" after ${LIMIT} ms, not "${user}"`);
  });
}

describe("two tabs of a browser", () => {
  const tabs = async ({ url }: Stand) => {
    const context = await newContext();
    const opened = [await context.newPage(), await context.newPage()] as const;
    for (const page of opened) {
      await page.goto(url);
      await shows(page, "guest");
    }
    return opened;
  };

  afterAll(closeChromium);
  afterEach(async () => {
    await closeContexts();
    await settles(closeServers(), "the servers' end");
  });

  for (const script of ["/bare.js", "/followed.js"]) {
    for (const [name, { logIn, logOut }] of Object.entries(MANNERS)) {
      itNeeds(
        "Chromium",
        CHROMIUM,
        `show who is logged in by ${name}, with ${script}`,
        async () => {
          const stand = await serve(script);
          const [one, two] = await tabs(stand);
          const both = async (user: string) => {
            await Promise.all([shows(one, user), shows(two, user)]);
          };
          await logIn(one, "ada");
          await both("ada");
          await logOut(two);
          await both("guest");
          await logIn(two, "bob");
          await both("bob");
          await logIn(one, "ada");
          await both("ada");
          assertEquals(stand.errors, []);
          assertEquals(await stand.bridge.sessionsOf("bob"), []);
          assertEquals((await stand.bridge.sessionsOf("ada")).length, 1);
        },
      );
    }
  }

  itNeeds(
    "Chromium",
    CHROMIUM,
    "show a login over a session that was there before, with ./client",
    async () => {
      const stand = await serve("/followed.js");
      const [one, two] = await tabs(stand);
      await inPage(one, `fetch("/visit", { method: "POST" }).then(() => {})`);
      await MANNERS.fetch!.logIn(two, "ada");
      await Promise.all([shows(one, "ada"), shows(two, "ada")]);
    },
  );
});
