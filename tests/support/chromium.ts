/** A real Chromium, one for all tests of a file; each test has contexts of its own, with their cookies. */
import {
  type Browser,
  type BrowserContext,
  type BrowserServer,
  chromium,
  type Page,
} from "playwright-core";
import { chromiumPath } from "./requires.ts";
import { refuses } from "./ports.ts";
import { settles, until, WAIT_LIMIT } from "./wait.ts";

/** The path of Chromium, where there is one. */
export const CHROMIUM = chromiumPath();

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

interface Launched {
  readonly server: BrowserServer;
  readonly browser: Browser;
}

let launched: Promise<Launched> | undefined;
const contexts: BrowserContext[] = [];

/** A context without cookies. */
export async function newContext(): Promise<BrowserContext> {
  launched ??= launch();
  const { browser } = await launched;
  const context = await browser.newContext();
  contexts.push(context);
  return context;
}

async function launch(): Promise<Launched> {
  const server = await chromium.launchServer({
    executablePath: CHROMIUM!,
    args: FLAGS,
  });
  return { server, browser: await chromium.connect(server.wsEndpoint()) };
}

/** Closes the contexts, after a test. A Chromium that does not answer is killed. */
export async function closeContexts(): Promise<void> {
  const closing = contexts.splice(0).map((context) => context.close());
  try {
    await settles(Promise.all(closing), "the contexts", 2 * WAIT_LIMIT);
  } catch {
    await closeChromium();
  }
}

/** Ends Chromium, after the last test of a file. */
export async function closeChromium(): Promise<void> {
  const { server, browser } = await launched ?? {};
  launched = undefined;
  if (!server) return;
  await server.kill();
  await browser!.close();
  // the last that is closed, and that no promise tells of
  const { hostname, port } = new URL(server.wsEndpoint());
  await until(
    () => refuses(hostname, Number(port)),
    "the end of playwright's server",
  );
}

/** Evaluates a script in a page, which by itself may wait for ever. */
export function inPage(page: Page, script: string): Promise<unknown> {
  const what = `the script ${script.slice(0, 60)}`;
  return settles(page.evaluate(script), what, 6 * WAIT_LIMIT);
}
