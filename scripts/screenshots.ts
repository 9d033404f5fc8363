/**
 * Takes the pictures of the demo in docs/img/ with Chromium:
 * `deno run -A scripts/screenshots.ts`. `CHROMIUM_PATH` is the path of Chromium.
 */
import { chromium, type Frame, type Page } from "playwright-core";
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
    width: 1280,
    height: 860,
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
  await play(page);
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
async function play(page: Page): Promise<void> {
  await page.locator("iframe, [data-state=on]").first().waitFor();
  const [one, two] = page.frames().slice(1);
  if (one && two) {
    await count(one, "Ada");
    await count(two, "Grace");
  } else {
    await count(page.mainFrame(), "Ada");
    await page.getByRole("button", { name: "Measure" }).click();
    await page.locator("#plot circle").nth(39).waitFor();
    await page.getByRole("button", { name: "Hammer" }).click();
    await page.locator("#result[data-state=good]").waitFor();
  }
  await page.mouse.move(0, 0);
  await page.evaluate("document.activeElement?.blur()");
}

/** Logs in, and counts in each way. */
async function count(frame: Frame, user: string): Promise<void> {
  await frame.getByLabel("Your name").fill(user);
  await frame.getByRole("button", { name: "Log in" }).click();
  await frame.locator("[data-way=session]:enabled").click();
  for (const way of ["session", "transaction", "socket"]) {
    await frame.locator(`[data-ten=${way}]`).click();
    // a result is not shown in a pane
    await frame.locator(`[data-result=${way}][data-state]`).waitFor({
      state: "attached",
    });
  }
}

async function chromiumPath(): Promise<string> {
  const told = Deno.env.get("CHROMIUM_PATH");
  if (told) return told;
  for (const path of USUAL) if (await exists(path)) return path;
  throw new Error(
    "Cannot take pictures as there is no Chromium: set CHROMIUM_PATH",
  );
}
