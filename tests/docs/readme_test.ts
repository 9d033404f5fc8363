/**
 * The README is correct: its programs run, its tables are complete. How blocks are marked: `support/docs/markdown.ts`.
 *
 * Shell blocks are not run: they install this package from registries, or
 * start the whole of what runs this file.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import * as everything from "@koa-io/session";
import { Browser } from "../support/browser.ts";
import {
  blocksOf,
  filesOf,
  isCode,
  readDocument,
} from "../support/docs/markdown.ts";
import { startProgram, stopPrograms } from "../support/docs/program.ts";

const README = "README.md";
const blocks = blocksOf(README);

/** The rows of the table below a heading, each as its cells, without the header. */
function tableBelow(heading: string): string[][] {
  const [, section = ""] = readDocument(README).split(`\n## ${heading}\n`);
  return section.split("\n## ")[0]!.split("\n")
    .filter((line) => line.startsWith("|"))
    .slice(2)
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1).map((s) => s.trim()));
}

/** The text between backticks. */
function codeIn(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code!);
}

describe("README's quick start", () => {
  const browsers: Browser[] = [];
  afterEach(async () => {
    await Promise.all(browsers.splice(0).map((browser) => browser.close()));
    await stopPrograms();
  });

  it("is one complete program, and the only code of the README", () => {
    const code = blocks.filter(isCode);
    assertEquals(code.map(({ marks }) => marks.file), ["server.js"]);
  });

  it("counts over HTTP and sockets, and ends", async () => {
    const program = await startProgram(filesOf(blocks), "server.js");
    const ada = new Browser(program.url);
    const grace = new Browser(program.url);
    browsers.push(ada, grace);

    assertStringIncludes((await ada.get("/")).body, "<button>1</button>");
    const socket = await ada.connect();
    assertEquals(await ada.ask(socket, "count"), 2);
    assertStringIncludes((await ada.get("/")).body, "<button>3</button>");
    assertEquals(await ada.ask(socket, "count"), 4);
    await program.printed("start: created");

    const guest = await grace.connect();
    assertEquals(await grace.ask(guest, "count"), "no session");

    assertEquals((await ada.get("/leave")).body, "You left.");
    assertEquals(await ada.ask(socket, "count"), "no session");
    await program.printed("end: logout");

    const script = await ada.get("/socket.io/socket.io.js");
    assertEquals(script.status, 200);
  });
});

describe("README's tables", () => {
  it("name every class and function that the package exports", () => {
    const api = readDocument(README);
    const unnamed = Object.keys(everything)
      .filter((name) => !["default", "generateUid"].includes(name))
      .filter((name) => !api.includes(name));
    assertEquals(unnamed, []);
  });

  it("name options that exist, with defaults that hold", () => {
    const rows = tableBelow("Options");
    assert(rows.length > 15);
    for (const name of rows.flatMap(([first]) => codeIn(first!))) {
      // a value of the wrong type is refused by name
      const wrong = { [name]: Symbol("wrong") };
      assertStringIncludes(refusal(wrong), ` ${name} `, name);
    }
  });

  it("name every difference from 2.2.0 on both sides", () => {
    const rows = tableBelow("2.2.0 → here");
    assert(rows.length > 15);
    for (const row of rows) {
      assertEquals(row.length, 2, row.join());
      assert(row.every((cell) => cell.length > 0), row.join());
    }
  });
});

function refusal(options: Record<string, unknown>): string {
  const app = { use() {}, createContext() {}, context: {} };
  const io = { of() {}, _nsps: new Map() };
  try {
    everything.bridgeSession(app as never, io as never, options);
  } catch (error) {
    return (error as Error).message;
  }
  return "it was taken";
}
