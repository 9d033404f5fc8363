/** The links of the documents lead to files of the repository. Deno only: the npm package is tested without the sources. */
import { assert } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  documentsIn,
  isThere,
  readDocument,
} from "../support/docs/markdown.ts";

/** A link to a file beside the document. */
const RELATIVE = /\]\(([^)#:]+)(?:#[^)]*)?\)/g;

/** A link to a file of the repository, as npm and JSR need it. */
const ABSOLUTE =
  /https:\/\/(?:github\.com\/koa-io\/session\/blob|raw\.githubusercontent\.com\/koa-io\/session)\/main\/([^\s)"#]+)/g;

describe("the documents", () => {
  const paths = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "bench/README.md",
    ...documentsIn("docs"),
  ];
  for (const path of paths) {
    it(`lead to files that are there: ${path}`, () => {
      const text = readDocument(path);
      const folder = path.replace(/[^/]*$/, "");
      for (const [, link] of text.matchAll(RELATIVE)) {
        assert(isThere(folder + link), link);
      }
      for (const [, link] of text.matchAll(ABSOLUTE)) {
        assert(isThere(link!), link);
      }
    });
  }

  it("of the index are all there are", () => {
    const index = readDocument("docs/README.md");
    for (const path of documentsIn("docs")) {
      const name = path.slice("docs/".length);
      if (name !== "README.md") assert(index.includes(`](${name})`), name);
    }
  });
});
