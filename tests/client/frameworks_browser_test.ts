/**
 * The components of examples/frameworks in a real browser, each compiled by its
 * framework's own compiler. Deno only, as the test strips the types from the client.
 */
import { assertEquals } from "@std/assert";
import { afterAll, afterEach, beforeAll, describe } from "@std/testing/bdd";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire, stripTypeScriptTypes } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Page } from "playwright-core";
import {
  CHROMIUM,
  closeChromium,
  closeContexts,
  inPage,
  newContext,
} from "../support/chromium.ts";
import { itNeeds } from "../support/requires.ts";
import { closeServers, startServer } from "../support/server.ts";
import { WAIT_LIMIT } from "../support/wait.ts";

const FOLDER = new URL("../../examples/frameworks/", import.meta.url);
const PACKAGES = [
  "esbuild@0.25",
  "react@19",
  "react-dom@19",
  "socket.io-client@4",
  "svelte@5",
  "vue@3",
];
const textOf = (url: string | URL) =>
  readFileSync(new URL(url, FOLDER), "utf8");
const client = stripTypeScriptTypes(
  textOf(import.meta.resolve("@koa-io/session/client")),
);

/** Mounts each component with a client of its own connection. */
const MAIN = `
  import { createElement, StrictMode } from "react";
  import { createRoot } from "react-dom/client";
  import { io } from "socket.io-client";
  import { mount } from "svelte";
  import { createApp } from "vue";
  import { followSession } from "./client.js";
  import { Session as ReactSession } from "./react.jsx";
  import SvelteSession from "./svelte.js";
  import VueSession from "./vue.js";

  const place = (id) => {
    const element = document.body.appendChild(document.createElement("div"));
    element.id = id;
    return element;
  };
  const client = followSession(
    globalThis.socket = io({ reconnectionDelay: 50, reconnectionDelayMax: 100 }),
    { refresh: "/refresh", minDelay: 50 },
  );
  createRoot(place("react")).render(
    createElement(StrictMode, null, createElement(ReactSession, { client })),
  );
  createApp(VueSession, { client }).mount(place("vue"));
  mount(SvelteSession, { target: place("svelte"), props: { client } });
`;

/** The bundle of a page with all of them. */
async function bundle(dir: string): Promise<string> {
  writeFileSync(join(dir, "package.json"), '{"type":"module"}');
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
  await promisify(execFile)("npm", ["install", ...quiet, ...PACKAGES], {
    cwd: dir,
  });
  const installed = createRequire(join(dir, "main.js"));
  const { compile } = installed("svelte/compiler");
  const { compileScript, parse } = installed("vue/compiler-sfc");
  const { descriptor } = parse(textOf("Session.vue"));
  const vue = compileScript(descriptor, {
    id: "session",
    inlineTemplate: true,
  });
  const files = {
    "main.js": MAIN,
    "client.js": client,
    "react.jsx": textOf("react.jsx"),
    "svelte.js":
      compile(textOf("Session.svelte"), { generate: "client" }).js.code,
    "vue.js": vue.content,
  };
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(dir, name), text);
  }
  const args = ["--bundle", "--format=esm", "--jsx=automatic"];
  const mode = '--define:process.env.NODE_ENV="development"';
  const { stdout } = await promisify(execFile)(
    join(dir, "node_modules/.bin/esbuild"),
    [
      "main.js",
      ...args,
      mode,
      "--log-level=error",
      "--conditions=browser",
    ],
    { cwd: dir, maxBuffer: 32_000_000 },
  );
  return stdout;
}

describe("examples/frameworks", () => {
  let dir: string;
  let script: string;
  beforeAll(async () => {
    if (!CHROMIUM) return;
    dir = mkdtempSync(join(tmpdir(), "frameworks-"));
    script = await bundle(dir);
  });
  afterEach(async () => {
    await closeContexts();
    await closeServers();
  });
  afterAll(async () => {
    await closeChromium();
    if (dir) rmSync(dir, { recursive: true });
  });

  /** Waits until each of the three shows this. */
  async function shows(page: Page, text: string): Promise<void> {
    for (const id of ["react", "vue", "svelte"]) {
      await page.locator(`#${id}`, { hasText: text }).waitFor({
        timeout: 2 * WAIT_LIMIT,
      });
    }
  }

  itNeeds(
    "Chromium",
    CHROMIUM,
    "show a guest, a login, a lost connection and a logout, and print no error on the console",
    async () => {
      const { url, io } = await startServer({
        view: ({ user }) => ({ user: user as string }),
      }, ({ app, bridge }) => {
        const refresh = bridge.refresh();
        app.use(async (ctx) => {
          if (ctx.path === "/refresh") return await refresh(ctx);
          if (ctx.path === "/login") ctx.session = { user: "ada" };
          if (ctx.path === "/logout") ctx.session = null;
          const isScript = ctx.path === "/main.js";
          ctx.set("Content-Type", isScript ? "text/javascript" : "text/html");
          ctx.body = isScript
            ? script
            : `<link rel="icon" href="data:,"><body></body>
               <script type="module" src="/main.js"></script>`;
        });
      });
      const page = await (await newContext()).newPage();
      const printed: string[] = [];
      page.on("console", (message) => {
        if (message.type() === "error") printed.push(message.text());
      });
      page.on("pageerror", (error) => printed.push(String(error)));
      await page.goto(url);
      await shows(page, "Please log in");
      assertEquals(printed, []);
      await inPage(page, `fetch("/login").then(() => {})`);
      await shows(page, "Hello ada");
      const back = inPage(
        page,
        `new Promise((back) => socket.once("connect", back))`,
      );
      for (const socket of io.of("/").sockets.values()) socket.conn.close();
      await back;
      await shows(page, "Hello ada");
      await inPage(page, `fetch("/logout").then(() => {})`);
      await shows(page, "Please log in (logout)");
      assertEquals(printed.filter((text) => !text.includes("WebSocket")), []);
      await page.close();
    },
  );
});
