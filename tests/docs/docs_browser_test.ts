/** The page of getting-started.md in a real browser. Deno only: the other tests of the documents run everywhere. */
import { assertEquals } from "@std/assert";
import { afterAll, afterEach, describe } from "@std/testing/bdd";
import type { Page } from "playwright-core";
import { blocksOf, filesOf } from "../support/docs/markdown.ts";
import { startProgram, stopPrograms } from "../support/docs/program.ts";
import {
  CHROMIUM,
  closeChromium,
  closeContexts,
  newContext,
} from "../support/chromium.ts";
import { itNeeds } from "../support/requires.ts";

describe("getting-started.md's page", () => {
  afterAll(closeChromium);
  afterEach(async () => {
    await closeContexts();
    await stopPrograms();
  });

  const shows = (page: Page, text: string) =>
    page.locator("output", { hasText: text }).waitFor();

  itNeeds("Chromium", CHROMIUM, "does what it says", async () => {
    const files = filesOf(blocksOf("docs/getting-started.md"));
    const { url } = await startProgram(files, "server.ts");
    const context = await newContext();
    const errors: string[] = [];
    const open = async () => {
      const page = await context.newPage();
      page.on("pageerror", (error) => errors.push(String(error)));
      await page.goto(url);
      return page;
    };

    const first = await open();
    await first.click("#click");
    await shows(first, "Log in first");

    await first.fill("[name=user]", "ada");
    await first.click("text=Log in");
    await first.click("#click");
    await shows(first, "ada clicked 1 times");

    const second = await open();
    await second.click("#click");
    await shows(first, "ada clicked 2 times");

    await second.click("text=Log out");
    await shows(first, "Your session ended: logout");
    assertEquals(errors, []);
  });
});
