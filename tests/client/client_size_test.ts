/** What a browser has to load: the module of the package, as it was installed. */
import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { buildSync } from "esbuild";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const FILE = fileURLToPath(import.meta.resolve("@koa-io/session/client"));

// esbuild keeps a worker for its synchronous calls: none of a test's own
const { outputFiles, metafile } = buildSync({
  entryPoints: [FILE],
  bundle: true,
  minify: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  write: false,
  metafile: true,
});
const { contents, text } = outputFiles[0]!;

describe("@koa-io/session/client", () => {
  it("is less than 2 kB, minified and gzipped", () => {
    const { length } = gzipSync(contents, { level: 9 });
    console.log(
      `client: ${contents.length} B minified, ${length} B gzipped`,
    );
    assertLess(length, 2_000);
  });

  it("imports nothing, so that a browser takes the one file as it is", () => {
    assertEquals(Object.keys(metafile.inputs).length, 1);
    if (FILE.endsWith(".ts")) return;
    assert(
      !/^\s*(?:import|export)\b.*\bfrom\b/m.test(readFileSync(FILE, "utf8")),
    );
  });

  it("contains no id", () => {
    assert(
      !/sessionId|clientId|cookies?\./.test(text),
    );
  });
});
