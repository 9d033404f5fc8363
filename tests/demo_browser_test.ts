import { describe } from "@std/testing/bdd";
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { chromiumPath, itNeeds } from "./support/requires.ts";
import { PATIENCE, settles, until } from "./support/wait.ts";

const MAIN = fileURLToPath(
  new URL("../examples/demo/main.ts", import.meta.url),
);
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const CHROMIUM = chromiumPath();
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The demo, served by a process of its own, as `deno task example` does. */
class Demo {
  #said = "";
  #complained = "";

  private constructor(readonly process: ChildProcess) {
    process.stdout!.on("data", (chunk) => this.#said += chunk);
    process.stderr!.on("data", (chunk) => this.#complained += chunk);
  }

  static async start(port = 0): Promise<Demo> {
    const demo = new Demo(
      spawn(process.execPath, ["run", "-A", MAIN], {
        cwd: ROOT,
        env: { ...process.env, PORT: String(port) },
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
    await until(
      () => demo.url !== "" || demo.process.exitCode !== null,
      "the demo's URL",
      30_000,
    );
    assert(demo.url, demo.complaints);
    return demo;
  }

  /** What it printed as its address. */
  get url(): string {
    return this.#said.match(/http:\/\/localhost:\d+/)?.[0] ?? "";
  }

  /** What it wrote to stderr, first downloads and checks left out. */
  get complaints(): string {
    return this.#complained.replace(
      /^.*\b(Download|Check|Initialize)\b.*$/gm,
      "",
    ).trim();
  }

  /** Ends it as Ctrl+C does; the exit code. */
  async interrupt(): Promise<number | null> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const exit = once(this.process, "exit");
      // Deno's child.kill() takes the signal for the end, whatever the child makes of it
      process.kill(this.process.pid!, "SIGINT");
      try {
        await settles(exit, "the demo's end");
      } catch (error) {
        this.process.kill("SIGKILL");
        await exit;
        throw error;
      }
    }
    return this.process.exitCode;
  }
}

/** One tab of the browser, at the demo. */
class Tab {
  readonly errors: string[] = [];

  private constructor(readonly page: Page) {
    page.on("pageerror", (error) => this.errors.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") this.errors.push(message.text());
    });
  }

  static async open(context: BrowserContext, url: string): Promise<Tab> {
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const tab = new Tab(page);
    await page.goto(url);
    await page.locator("#link[data-state=on]").waitFor();
    return tab;
  }

  async press(name: string | RegExp): Promise<void> {
    // a tab in the background draws, and so answers a mouse, once a second
    await this.page.bringToFront();
    await this.page.getByRole("button", { name, exact: true }).click();
  }

  async logIn(name: string): Promise<void> {
    await this.page.getByLabel("Your name").fill(name);
    await this.press("Log in");
  }

  /** Waits until an element shows this text. */
  async shows(selector: string, text: string): Promise<void> {
    await this.page.locator(`${selector}:text-is("${text}")`).waitFor();
  }

  /** Waits for a row of the timeline. */
  async hears(event: string, text: string): Promise<void> {
    await this.page.locator("#timeline li").filter({ hasText: event })
      .filter({ hasText: text }).first().waitFor();
  }

  async text(selector: string): Promise<string> {
    return (await this.page.locator(selector).textContent() ?? "").trim();
  }
}

/** Serves the demo, and opens it in a Chromium. */
async function withDemo(
  body: (
    parts: {
      demo: Demo;
      open: () => Promise<Tab>;
      another: () => Promise<Tab>;
    },
  ) => Promise<void>,
): Promise<void> {
  const demo = await Demo.start();
  const tabs: Tab[] = [];
  try {
    const browser = await chromium.launch({
      executablePath: CHROMIUM!,
      args: FLAGS,
    });
    try {
      const openIn = async (context: BrowserContext) => {
        const tab = await Tab.open(context, demo.url);
        tabs.push(tab);
        return tab;
      };
      const context = await browser.newContext();
      await body({
        demo,
        open: () => openIn(context),
        another: async () => await openIn(await browser.newContext()),
      });
      assertEquals(tabs.flatMap(({ errors }) => errors), []);
    } finally {
      await browser.close();
    }
  } finally {
    await demo.interrupt();
  }
  assertEquals(demo.complaints, "");
}

function needsChromium(name: string, body: () => Promise<void>): void {
  itNeeds("Chromium", CHROMIUM, name, body);
}

describe("the demo", () => {
  needsChromium(
    "shows a login, and a count over either way, in both tabs",
    () =>
      withDemo(async ({ open }) => {
        const [one, two] = [await open(), await open()];
        await one.logIn("Ada");
        for (const tab of [one, two]) {
          await tab.hears("session:start", "in a session");
          await tab.shows("#user", "Ada");
          await tab.shows("#count", "0");
        }
        await one.press(/ctx\.session$/);
        await two.shows("#count", "1");
        await two.press(/ctx\.withSession$/);
        await one.shows("#count", "2");
        await one.press(/socket\.withSession$/);
        for (const tab of [one, two]) {
          await tab.shows("#count", "3");
          await tab.hears("counter", "1 by ctx.session");
          await tab.hears("counter", "2 by ctx.withSession");
          await tab.hears("counter", "3 by socket.withSession");
        }
      }),
  );

  needsChromium(
    "shows ids cut short, the same over HTTP and the socket, and a new one",
    () =>
      withDemo(async ({ open }) => {
        const tab = await open();
        await tab.logIn("Ada");
        await tab.page.locator("#http-session").filter({ hasText: "…" })
          .waitFor();
        const client = await tab.text("#http-client");
        const session = await tab.text("#http-session");
        assertMatch(client, /^[\w-]{6}…$/);
        assertMatch(session, /^[\w-]{6}…$/);
        assertEquals(await tab.text("#socket-client"), client);
        assertEquals(await tab.text("#socket-session"), session);

        await tab.press("New session id");
        await tab.hears("session:rotated", "follow");
        await until(
          async () => await tab.text("#socket-session") !== session,
          "the new id",
        );
        await until(
          async () =>
            await tab.text("#http-session") ===
              await tab.text("#socket-session"),
          "the same id on both sides",
        );
        assertEquals(await tab.text("#socket-client"), client);
        assertEquals(await tab.text("#count"), "0");
      }),
  );

  needsChromium(
    "hammers 100 and 100 at once to exactly 200",
    () =>
      withDemo(async ({ open }) => {
        const [one, two] = [await open(), await open()];
        await one.logIn("Ada");
        await one.page.locator("#hammer:enabled").waitFor();
        await one.press("Hammer");
        await one.page.locator("#result[data-state]").waitFor({
          timeout: 20_000,
        });
        assertMatch(
          await one.text("#result"),
          /^200 of 200 counted, 0 lost, in \d+ ms$/,
        );
        await one.shows("#count", "200");
        await two.shows("#count", "200");
        await one.page.locator("#plot circle").nth(199).waitFor();
        assertMatch(await one.text("#http-times"), /^median [\d.]+, p95/);
      }),
  );

  needsChromium(
    "tells the other tab why it was logged out, and revives its socket",
    () =>
      withDemo(async ({ open }) => {
        const [one, two] = [await open(), await open()];
        await one.logIn("Ada");
        await two.shows("#user", "Ada");
        await one.press("Log out");
        for (const tab of [one, two]) {
          await tab.hears("session:end", "reason: logout");
          await tab.shows("#count", "–");
          assert(await tab.page.locator("#hammer").isDisabled());
        }
        await one.press("Clear");
        await two.press("Clear");
        await one.logIn("Grace");
        await two.hears("session:start", "in a session");
        await two.shows("#user", "Grace");
        await two.press(/socket\.withSession$/);
        await one.shows("#count", "1");
        // the connection is the one that was there before
        assertEquals(
          await two.page.locator("#timeline").getByText("disconnect").count(),
          0,
        );
      }),
  );

  needsChromium(
    "logs a user out of every browser",
    () =>
      withDemo(async ({ open, another }) => {
        const [here, there] = [await open(), await another()];
        await here.logIn("Ada");
        await here.shows("#user", "Ada");
        await there.logIn("Ada");
        for (const tab of [here, there]) {
          await tab.shows("#devices", "logged in on 2 devices");
        }
        await here.press("Log out everywhere");
        await there.hears("session:end", "reason: revoked");
        await here.hears("session:end", "reason: logout");
        await there.page.getByLabel("Your name").waitFor();
      }),
  );

  needsChromium(
    "can be used with the keyboard, and on a phone",
    () =>
      withDemo(async ({ open }) => {
        const { page } = await open();
        await page.setViewportSize({ width: 360, height: 740 });
        await page.getByLabel("Your name").focus();
        await page.keyboard.type("Ada");
        await page.keyboard.press("Enter");
        // the field is gone: the focus stays near
        await page.locator("#logout:focus").waitFor();
        await page.locator("[data-way=socket]").focus();
        await page.keyboard.press("Space");
        await page.locator("#count:text-is('1')").waitFor();
        const [width, wanted] = await page.evaluate(
          "[innerWidth, document.documentElement.scrollWidth]",
        ) as [number, number];
        assertEquals(wanted, width);
        for (const button of await page.locator("button:visible").all()) {
          assertGreater((await button.boundingBox())!.height, 24);
        }
      }),
  );

  needsChromium(
    "comes back by itself, as a guest, when the server was started anew",
    () =>
      withDemo(async ({ demo, open }) => {
        const tab = await open();
        await tab.logIn("Ada");
        await tab.shows("#user", "Ada");
        assertEquals(await demo.interrupt(), 0);
        await tab.page.locator("#link[data-state=off]").waitFor();
        const again = await Demo.start(Number(new URL(demo.url).port));
        try {
          await tab.page.locator("#link[data-state=on]").waitFor({
            timeout: 15_000,
          });
          await tab.logIn("Grace");
          await tab.shows("#user", "Grace");
          await tab.press(/socket\.withSession$/);
          await tab.shows("#count", "1");
          // the browser itself reports the connections that failed meanwhile
          tab.errors.length = 0;
        } finally {
          assertEquals(await again.interrupt(), 0);
        }
      }),
  );
});
