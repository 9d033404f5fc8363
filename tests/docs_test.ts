/**
 * The documents do what they say: every program in them runs, is visited, and
 * answers as its page tells. How blocks are marked is told in
 * `support/markdown.ts`.
 *
 * Shell blocks are not run, as they install from registries what is tested
 * here from the sources. Under Deno programs in TypeScript are type-checked
 * first; Node gets them without their types.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { Browser } from "./support/browser.ts";
import {
  blocksOf,
  documentsIn,
  filesOf,
  isCode,
  readDocument,
} from "./support/markdown.ts";
import { runProgram, startProgram, stopPrograms } from "./support/program.ts";

const browsers: Browser[] = [];

function browserAt(url: string): Browser {
  const browser = new Browser(url);
  browsers.push(browser);
  return browser;
}

async function leave(): Promise<void> {
  await Promise.all(browsers.splice(0).map((browser) => browser.close()));
  await stopPrograms();
}

const form = {
  headers: { "content-type": "application/x-www-form-urlencoded" },
};

describe("getting-started.md", () => {
  afterEach(leave);
  const files = filesOf(blocksOf("docs/getting-started.md"));

  for (const entry of ["server.ts", "server.js"]) {
    it(`has a ${entry} with a login`, async () => {
      const { url } = await startProgram(files, entry);
      const ada = browserAt(url);
      assertStringIncludes((await ada.get("/")).body, "<form");
      const guest = await ada.connect();
      assertEquals(await ada.ask(guest, "click"), "Log in first");

      assertEquals((await ada.post("/login", form)).status, 302);
      const [first, second] = [await ada.connect(), await ada.connect()];
      assertEquals(await ada.ask(first, "click"), "somebody clicked 1 times");
      assertEquals(await ada.heard(second, "clicked"), [
        "somebody clicked 1 times",
      ]);
      assertEquals(await ada.ask(guest, "click"), "Log in first");

      await ada.post("/logout");
      assertEquals(await ada.heard(second, "session:end"), [
        { reason: "logout" },
      ]);
      assertEquals(await ada.ask(first, "click"), "Log in first");
    });
  }
});
