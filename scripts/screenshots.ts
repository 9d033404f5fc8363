/**
 * Takes the pictures of the demo in docs/img/ with Chromium:
 * `deno run -A scripts/screenshots.ts`. `CHROMIUM_PATH` is the path of Chromium.
 */
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { startDemo } from "../examples/demo/server.ts";
import { exists, projectDir } from "./project.ts";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const USUAL = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

interface Shot {
  readonly name: string;
  readonly path: string;
  readonly width: number;
  readonly height: number;
  readonly colorScheme: "light" | "dark";
  /** Device pixels per CSS pixel. */
  readonly scale: number;
  /** Whether the picture shows the whole page, or only the window. */
  readonly fullPage: boolean;
}

const desktop = { width: 1160, height: 860, scale: 1.5, fullPage: true };

const shots: readonly Shot[] = [
  { ...desktop, name: "demo-light", path: "/", colorScheme: "light" },
  { ...desktop, name: "demo-dark", path: "/", colorScheme: "dark" },
  {
    ...desktop,
    name: "demo-panes",
    path: "/panes",
    width: 1160,
    height: 1180,
    colorScheme: "light",
    fullPage: false,
  },
  {
    ...desktop,
    name: "demo-phone",
    path: "/",
    width: 390,
    height: 844,
    colorScheme: "dark",
  },
];

const browser = await chromium.launch({
  executablePath: await chromiumPath(),
  args: FLAGS,
});
try {
  await Deno.mkdir(`${projectDir}docs/img`, { recursive: true });
  for (const shot of shots) await take(shot);
} finally {
  await browser.close();
}

async function take(shot: Shot): Promise<void> {
  const { width, height, colorScheme, scale } = shot;
  // a new server for each picture, without other logins
  const demo = await startDemo({ port: 0, host: "127.0.0.1" });
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme,
    deviceScaleFactor: scale,
  });
  const page = await context.newPage();
  await page.goto(demo.url + shot.path);
  await play(context, page);
  const path = `docs/img/${shot.name}.png`;
  await page.screenshot({
    path: projectDir + path,
    fullPage: shot.fullPage,
    animations: "disabled",
  });
  console.log(path);
  await context.close();
  await demo.close();
}

/** Uses the demo, so that the pictures have content. */
async function play(context: BrowserContext, page: Page): Promise<void> {
  const [pane = page.mainFrame()] = page.frames().slice(1);
  await pane.locator("[data-state=on]").first().waitFor();
  await pane.getByLabel("Your name").fill("Ada");
  await pane.getByRole("button", { name: "Log in" }).click();
  const session = pane.locator("[data-way=session]:enabled");
  await session.click();
  const other = await context.newPage();
  await other.goto(new URL(page.url()).origin);
  await other.locator("[data-way=socket]:enabled").click();
  await other.locator("[data-way=transaction]").click();
  await page.bringToFront();
  await pane.getByRole("button", { name: "New session id" }).click();
  for (let i = 0; i < 12; i++) {
    await session.click();
    await pane.locator("[data-way=socket]").click();
  }
  await pane.getByRole("button", { name: "Hammer" }).click();
  await pane.locator("#result[data-state=good]").waitFor();
  await page.mouse.move(0, 0);
  await pane.locator("#hammer:enabled").evaluate((button) =>
    (button as unknown as { blur(): void }).blur()
  );
}

async function chromiumPath(): Promise<string> {
  const told = Deno.env.get("CHROMIUM_PATH");
  if (told) return told;
  for (const path of USUAL) if (await exists(path)) return path;
  throw new Error(
    "Cannot take pictures as there is no Chromium: set CHROMIUM_PATH",
  );
}
