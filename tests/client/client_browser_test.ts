/**
 * The client in a real browser, on a real bridge: tabs that share their
 * cookies. Deno only, as the test strips the types from the module.
 */
import { assertEquals } from "@std/assert";
import { afterAll, afterEach, describe } from "@std/testing/bdd";
import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import type { Page } from "playwright-core";
import {
  CHROMIUM,
  closeChromium,
  closeContexts,
  inPage,
  newContext,
} from "../support/chromium.ts";
import { itNeeds } from "../support/requires.ts";
import type { Parts } from "../support/routes.ts";
import {
  closeServers,
  type ServerConfig,
  type Stand,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { settles, WAIT_LIMIT } from "../support/wait.ts";

const script = stripTypeScriptTypes(
  readFileSync(new URL(import.meta.resolve("@koa-io/session/client")), "utf8"),
);

// a tab in the background draws nothing
const POLLING = { polling: 20, timeout: 3 * WAIT_LIMIT };

// the page logs each event together with the answer of HTTP at that time
const page = `<!DOCTYPE html>
  <link rel="icon" href="data:,">
  <script src="/socket.io/socket.io.js"></script>
  <script type="module">
    import { followSession } from "/client.js";
    globalThis.events = [];
    globalThis.socket = io({
      transports: ["websocket"], reconnectionDelay: 50, reconnectionDelayMax: 100,
    });
    socket.on("connect", () => events.push("connect"));
    globalThis.client = followSession(socket, { refresh: "/refresh", minDelay: 50 });
    client.on("active", async () =>
      events.push("active: " + await (await fetch("/who")).text()));
    client.on("ended", ({ reason }) => events.push("ended: " + reason));
    client.on("expiring", () => events.push("expiring"));
    client.on("view", ({ user }) => events.push("view: " + user));
  </script>`;

function routes({ app, bridge }: Pick<Parts, "app" | "bridge">): void {
  const refresh = bridge.refresh();
  app.use(async (ctx, next) => {
    switch (ctx.path) {
      case "/refresh":
        return await refresh(ctx);
      case "/who":
        return ctx.body = ctx.session?.user ?? "nobody";
      case "/login":
        ctx.session = { user: ctx.query.user! };
        return ctx.body = "in";
      case "/enter":
        ctx.session = { user: ctx.query.user! };
        await ctx.regenerateSession({ sockets: "leave" });
        return ctx.body = "in";
      case "/logout":
        ctx.session = null;
        return ctx.body = "out";
    }
    await next();
  });
}

/** Before the bridge, which sets no cookie with them then. */
const prepare: NonNullable<ServerConfig["prepare"]> = ({ app }) => {
  app.use(async (ctx, next) => {
    if (ctx.path === "/client.js") {
      ctx.set("content-type", "text/javascript");
      ctx.body = script;
    } else if (ctx.path === "/" || ctx.path === "/bare") {
      ctx.set("content-type", "text/html");
      ctx.body = page;
      if (ctx.path === "/") return await next();
    } else {
      await next();
    }
  });
};

function serve(options: TestOptions = {}, config: ServerConfig = {}) {
  const view = ({ user }: { user?: string }) => ({ user });
  return startServer({ view, ...options }, routes, { prepare, ...config });
}

/** One tab that follows its session. */
class Tab {
  constructor(readonly page: Page) {}

  static async open(
    context: { newPage(): Promise<Page> },
    { url }: Stand,
    path = "/",
  ): Promise<Tab> {
    const tab = new Tab(await context.newPage());
    await tab.page.goto(url + path);
    await tab.reaches("guest");
    return tab;
  }

  async ask(path: string): Promise<void> {
    await inPage(this.page, `fetch(${JSON.stringify(path)}).then(() => {})`);
  }

  async forget(): Promise<void> {
    await inPage(this.page, "events.length = 0");
  }

  async reaches(state: string): Promise<void> {
    await this.page.waitForFunction(
      `globalThis.client?.state === "${state}"`,
      undefined,
      POLLING,
    );
  }

  async emits(...events: string[]): Promise<void> {
    for (const one of events) {
      const emitted = `events.includes(${JSON.stringify(one)})`;
      await this.page.waitForFunction(emitted, undefined, POLLING).catch(
        async (error) => {
          throw new Error(`no "${one}" in ${await this.events()}: ${error}`);
        },
      );
    }
  }

  async events(): Promise<string[]> {
    return await inPage(this.page, "events") as string[];
  }
}

describe("client, in two tabs", () => {
  const needsChromium = (name: string, body: () => Promise<void>) =>
    itNeeds("Chromium", CHROMIUM, name, body);

  const tabs = async (stand: Stand, path?: string) => {
    const context = await newContext();
    return [
      await Tab.open(context, stand, path),
      await Tab.open(context, stand, path),
    ] as const;
  };

  afterAll(closeChromium);
  afterEach(async () => {
    await closeContexts();
    await settles(closeServers(), "the servers' end");
  });

  for (const onSessionEnd of ["keep", "disconnect"] as const) {
    needsChromium(
      `hears of a logout in the other, and comes back: ${onSessionEnd}`,
      async () => {
        const [one, two] = await tabs(await serve({ onSessionEnd }));
        await one.ask("/login?user=ada");
        for (const tab of [one, two]) {
          await tab.emits("view: ada", "active: ada");
        }
        await one.ask("/logout");
        for (const tab of [one, two]) {
          await tab.emits("ended: logout");
          await tab.reaches("guest");
          assertEquals(await inPage(tab.page, "client.view"), undefined);
          await tab.forget();
        }
        await one.ask("/login?user=grace");
        for (const tab of [one, two]) {
          await tab.emits("view: grace", "active: grace");
        }
      },
    );
  }

  needsChromium("keeps its connection where the server does", async () => {
    const [one, two] = await tabs(await serve());
    await one.ask("/login?user=ada");
    await two.emits("active: ada");
    await one.ask("/logout");
    await two.emits("ended: logout");
    await one.ask("/login?user=ada");
    await two.reaches("active");
    const events = await two.events();
    assertEquals(events.filter((one) => one === "connect"), ["connect"]);
  });

  needsChromium(
    "comes along to the session of a login that leaves sockets behind",
    async () => {
      const stand = await serve();
      const [one, two] = await tabs(stand);
      await one.ask("/login?user=ada");
      for (const tab of [one, two]) {
        await tab.emits("active: ada");
        await tab.forget();
      }
      await two.ask("/enter?user=grace");
      for (const tab of [one, two]) {
        await tab.emits("active: grace", "view: grace");
        assertEquals(
          (await tab.events()).filter((one) => one.startsWith("ended")),
          [],
        );
      }
      assertEquals(stand.bridge.stats().sessions, 1);
    },
  );

  needsChromium(
    "hears of a login though the page came without cookies",
    async () => {
      const [one, two] = await tabs(await serve(), "/bare");
      await one.ask("/login?user=ada");
      for (const tab of [one, two]) await tab.emits("active: ada");
    },
  );

  needsChromium("is known again after a restart with other keys", async () => {
    const first = await serve({}, { keys: ["one"] });
    const [one, two] = await tabs(first);
    await one.ask("/login?user=ada");
    for (const tab of [one, two]) await tab.emits("active: ada");
    await first.close();
    await serve({}, { keys: ["two"], port: first.port });
    for (const tab of [one, two]) await tab.emits("ended: away");
    await one.ask("/login?user=grace");
    for (const tab of [one, two]) await tab.emits("active: grace");
  });

  needsChromium("can keep a session alive that would end", async () => {
    const stand = await serve({
      maxAge: 1_000,
      expiringNotice: 600,
      touchInterval: false,
    });
    const [one, two] = await tabs(stand);
    await inPage(one.page, 'client.on("expiring", () => client.refresh())');
    await one.ask("/login?user=ada");
    await two.emits("active: ada", "expiring");
    await two.forget();
    await two.emits("expiring");
    await two.forget();
    await two.emits("expiring");
    await one.reaches("active");
    assertEquals((await two.events()).includes("ended: expired"), false);
    await one.page.close();
    await two.emits("ended: expired");
  });
});
