import { afterAll, describe } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertMatch,
} from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CHROMIUM, closeChromium } from "../support/chromium.ts";
import { Demo, type Tab, withDemo } from "../support/docs/demo.ts";
import { itNeeds } from "../support/requires.ts";
import { until } from "../support/wait.ts";

function needsChromium(name: string, body: () => Promise<void>): void {
  itNeeds("Chromium", CHROMIUM, name, body);
}

describe("the demo", () => {
  afterAll(closeChromium);

  needsChromium(
    "shows a login, and a count over either way, in both tabs",
    () =>
      withDemo(async ({ open }) => {
        const [one, two] = [await open(), await open()];
        await one.logIn("Ada");
        for (const tab of [one, two]) {
          await tab.logs("session:start", "in a session");
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
          await tab.logs("counter", "1 by ctx.session");
          await tab.logs("counter", "2 by ctx.withSession");
          await tab.logs("counter", "3 by socket.withSession");
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
        await tab.logs("session:rotated", "follow");
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
        // the latency of what waits in a queue is not that of a count
        const circles = one.page.locator("#plot circle");
        assertEquals(await circles.count(), 0);
        await one.press("Measure");
        await circles.nth(39).waitFor();
        assertMatch(await one.text("#http-times"), /^median [\d.]+, p95/);
        await one.shows("#count", "240");
      }),
  );

  needsChromium(
    "shows what ten at once lose by ctx.session, and only by it",
    () =>
      withDemo(async ({ open }) => {
        const [one, two] = [await open(), await open()];
        await one.logIn("Ada");
        await one.page.locator("[data-ten]:enabled").first().waitFor();
        const counted = async (way: string) => {
          await one.page.bringToFront();
          await one.page.locator(`[data-ten=${way}]`).click();
          const result = one.page.locator(`[data-result=${way}][data-state]`);
          const text = await result.innerText();
          const [, kept] = text.match(/^10 sent, (\d+) counted\.$/) ?? [];
          return Number(kept);
        };
        const kept = await counted("session");
        assertLess(kept, 10);
        for (const tab of [one, two]) {
          await tab.logs("conflict", "ctx.withSession takes turns");
        }
        assertEquals(await counted("transaction"), 10);
        assertEquals(await counted("socket"), 10);
        await one.shows("#count", String(kept + 20));
        await two.shows("#count", String(kept + 20));
      }),
  );

  needsChromium(
    "shows two browsers side by side: each with a session, and the events in view",
    () =>
      withDemo(async ({ open }) => {
        const tab = await open();
        const { page } = tab;
        await page.setViewportSize({ width: 1280, height: 860 });
        await page.getByRole("link", { name: "Two browsers" }).click();
        await page.waitForURL(/demo\.localhost:\d+\/panes$/);
        const frame = (host: string) => page.frameLocator(`[title^=${host}]`);
        const [one, two] = [frame("one"), frame("two")];
        const count = async (pane: typeof one, user: string) => {
          await pane.getByLabel("Your name").fill(user);
          await pane.getByRole("button", { name: "Log in" }).click();
          await pane.locator("[data-way=socket]:enabled").click();
        };
        await count(one, "Ada");
        await count(two, "Grace");
        for (const [pane, user] of [[one, "Ada"], [two, "Grace"]] as const) {
          await pane.locator(`#user:text-is("${user}")`).waitFor();
          await pane.locator("#count:text-is('1')").waitFor();
          const event = pane.locator("#timeline li").filter({
            hasText: "1 by socket.withSession, this tab",
          });
          const { y, height } = (await event.boundingBox())!;
          assertLess(y + height, 860);
        }
      }),
  );

  needsChromium(
    "tells the other tab why it was logged out, and needs no reload",
    () =>
      withDemo(async ({ open }) => {
        const [one, two] = [await open(), await open()];
        await two.page.evaluate("globalThis.loaded = 'once'");
        await one.logIn("Ada");
        await two.shows("#user", "Ada");
        await one.press("Log out");
        for (const tab of [one, two]) {
          await tab.logs("session:end", "reason: logout");
          await tab.shows("#count", "–");
          assert(await tab.page.locator("#hammer").isDisabled());
        }
        await one.press("Clear");
        await two.press("Clear");
        await one.logIn("Grace");
        await two.logs("session:start", "in a session");
        await two.shows("#user", "Grace");
        await two.press(/socket\.withSession$/);
        await one.shows("#count", "1");
        assertEquals(await two.page.evaluate("globalThis.loaded"), "once");
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
        await there.logs("session:end", "reason: revoked");
        await here.logs("session:end", "reason: logout");
        await there.page.getByLabel("Your name").waitFor();
      }),
  );

  needsChromium(
    "lists the devices without an id, and ends one, and all others",
    () =>
      withDemo(async ({ open, another }) => {
        const tabs = [await open(), await another(), await another()];
        const [here, ...others] = tabs as [Tab, Tab, Tab];
        const rows = here.page.locator("#device-list li");
        const lists = (count: number) =>
          until(async () => await rows.count() === count, `${count} devices`);
        for (const tab of tabs) {
          await tab.logIn("Ada");
          await tab.shows("#user", "Ada");
        }
        await here.page.bringToFront();
        await lists(3);
        assertMatch(
          await rows.first().innerText(),
          /^Chrome \d+ at localhost\s+this device$/,
        );

        const shown = await here.page.content() +
          await here.page.evaluate(
            "fetch('/api/devices').then((r) => r.text())",
          );
        for (const tab of tabs) {
          const cookies = await tab.page.context().cookies();
          assertEquals(cookies.length, 4);
          for (const { value } of cookies) {
            assert(!shown.includes(value), value);
          }
        }

        const ended = async () => {
          const texts = await Promise.all(
            others.map(({ page }) => page.locator("#timeline").innerText()),
          );
          return texts.filter((text) => text.includes("reason: revoked"))
            .length;
        };
        await rows.getByRole("button").first().click();
        await lists(2);
        await until(async () => await ended() === 1, "the end of one");
        await here.press("End all others");
        await lists(1);
        await until(async () => await ended() === 2, "the end of the others");
        await here.shows("#devices", "logged in here only");
        await here.press(/socket\.withSession$/);
        await here.shows("#count", "1");
        for (const tab of others) {
          await tab.page.getByLabel("Your name").waitFor();
        }
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
        // the field was removed: the focus stays near
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
        assertEquals(await demo.end(), 0);
        await tab.page.locator("#link[data-state=off]").waitFor();
        const again = await Demo.start(Number(new URL(demo.url).port));
        try {
          await tab.connected();
          await tab.logIn("Grace");
          await tab.shows("#user", "Grace");
          await tab.press(/socket\.withSession$/);
          await tab.shows("#count", "1");
          // the browser reports the connections that failed in between
          tab.errors.length = 0;
        } finally {
          assertEquals(await again.end(), 0);
        }
      }),
  );

  needsChromium("keeps a session through a kill, with a file", async () => {
    const dir = mkdtempSync(join(tmpdir(), "demo-"));
    const file = join(dir, "demo.db");
    try {
      await withDemo(async ({ demo, open }) => {
        const tab = await open();
        await tab.logIn("Ada");
        await tab.press(/socket\.withSession$/);
        await tab.shows("#count", "1");
        await demo.end("SIGKILL");
        await tab.page.locator("#link[data-state=off]").waitFor();
        const port = Number(new URL(demo.url).port);
        const again = await Demo.start(port, file);
        try {
          await tab.connected();
          await tab.press(/socket\.withSession$/);
          await tab.shows("#count", "2");
          await tab.press(/ctx\.withSession$/);
          await tab.shows("#count", "3");
          tab.errors.length = 0;
        } finally {
          await tab.page.close();
          assertEquals(await again.end(), 0);
        }
      }, file);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
