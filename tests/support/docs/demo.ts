/** The demo in a process of its own, and tabs of a real Chromium. */
import { assert, assertEquals } from "@std/assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { BrowserContext, Page } from "playwright-core";
import { closeContexts, newContext } from "../chromium.ts";
import { settles, until, WAIT_LIMIT } from "../wait.ts";

const MAIN = fileURLToPath(
  new URL("../../../examples/demo/main.ts", import.meta.url),
);
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** The demo, served by a process of its own, as `deno task example` does. */
export class Demo {
  #stdout = "";
  #stderr = "";

  private constructor(readonly process: ChildProcess) {
    process.stdout!.on("data", (chunk) => this.#stdout += chunk);
    process.stderr!.on("data", (chunk) => this.#stderr += chunk);
  }

  static async start(port = 0, file = ""): Promise<Demo> {
    const demo = new Demo(
      spawn(process.execPath, ["run", "-A", MAIN], {
        cwd: ROOT,
        env: { ...process.env, PORT: String(port), FILE: file },
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
    try {
      await until(
        () => demo.url !== "" || demo.process.exitCode !== null,
        "the demo's URL",
        30_000,
      );
      assert(demo.url, demo.complaints);
      return demo;
    } catch (error) {
      await demo.end("SIGKILL");
      throw error;
    }
  }

  /** What it printed as its address. */
  get url(): string {
    return this.#stdout.match(/http:\/\/localhost:\d+/)?.[0] ?? "";
  }

  /** What it wrote to stderr, first downloads and checks left out. */
  get complaints(): string {
    return this.#stderr.replace(
      /^.*\b(Download|Check|Initialize)\b.*$/gm,
      "",
    ).trim();
  }

  /** Ends it as Ctrl+C does, or by another signal; resolves to the exit code. */
  async end(signal = "SIGINT"): Promise<number | null> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const exit = once(this.process, "exit");
      // Deno's child.kill() counts as the end even where the child handles the signal
      process.kill(this.process.pid!, signal);
      try {
        await settles(exit, "the demo's end", 3 * WAIT_LIMIT);
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
export class Tab {
  readonly errors: string[] = [];

  private constructor(readonly page: Page) {
    page.on("pageerror", (error) => this.errors.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") this.errors.push(message.text());
    });
  }

  static async open(context: BrowserContext, url: string): Promise<Tab> {
    const page = await context.newPage();
    page.setDefaultTimeout(3 * WAIT_LIMIT);
    const tab = new Tab(page);
    await page.goto(url);
    await tab.connected();
    return tab;
  }

  /** Waits for the socket, which reconnects after a delay. */
  async connected(): Promise<void> {
    const on = this.page.locator("#link[data-state=on]");
    await on.waitFor({ timeout: 3 * WAIT_LIMIT });
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
  async logs(event: string, text: string): Promise<void> {
    await this.page.locator("#timeline li").filter({ hasText: event })
      .filter({ hasText: text }).first().waitFor();
  }

  async text(selector: string): Promise<string> {
    return (await this.page.locator(selector).textContent() ?? "").trim();
  }
}

/** Serves the demo, and opens it in browsers with cookies of their own. */
export async function withDemo(
  body: (
    parts: {
      demo: Demo;
      open: () => Promise<Tab>;
      another: () => Promise<Tab>;
    },
  ) => Promise<void>,
  file?: string,
): Promise<void> {
  const demo = await Demo.start(0, file);
  const tabs: Tab[] = [];
  try {
    const openIn = async (context: BrowserContext) => {
      const tab = await Tab.open(context, demo.url);
      tabs.push(tab);
      return tab;
    };
    try {
      const context = await newContext();
      await body({
        demo,
        open: () => openIn(context),
        another: async () => await openIn(await newContext()),
      });
      assertEquals(tabs.flatMap(({ errors }) => errors), []);
    } finally {
      await closeContexts();
    }
  } finally {
    await demo.end();
  }
  assertEquals(demo.complaints, "");
}
