import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readdirSync, readFileSync } from "node:fs";

// Rooms from top to bottom: a file imports only files of its own room or of a
// lower one. Rooms on one rank never import each other.
const RANKS = [
  ["mod"],
  ["bridge"],
  ["lifecycle"],
  ["http", "sockets"],
  ["identity"],
  ["transaction", "options"],
  ["stores"],
  ["base"],
  ["api"],
];
// Places outside the ranks, and all they may import: entry points of the
// package that never load the bridge.
const APART: Record<string, string[]> = {
  "stores/postgres": ["stores/postgres", "api", "base"],
  "stores/redis": ["stores/redis", "api", "base"],
  "stores/sqlite": ["stores/sqlite", "api", "base"],
  "stores/encrypted": ["stores/encrypted", "api", "base"],
  "stores/compat": ["stores/compat", "api", "base"],
  testing: ["testing", "api", "base"],
  client: ["client"],
};
// Files that a browser loads as they are: no package is imported at run time.
const PACKAGES_OF_CLIENT = ["socket.io-client"];

const src = new URL("../../src/", import.meta.url);
const names = readdirSync(src, { recursive: true }).map(String)
  .filter((path) => path.endsWith(".ts")).map((path) => path.slice(0, -3));

const within = (name: string, place: string) =>
  name === place || name.startsWith(`${place}/`);
const apartOf = (name: string) =>
  Object.keys(APART).find((place) => within(name, place));
const roomOf = (name: string) => name.split("/")[0]!;
const rankOf = (name: string) =>
  RANKS.findIndex((rooms) => rooms.includes(roomOf(name)));

function importsOf(name: string): string[] {
  const url = new URL(name === "mod" ? "../mod.ts" : `${name}.ts`, src);
  const code = readFileSync(url, "utf8").replace(/^\s*(\*|\/\/).*$/gm, "");
  return [
    ...code.matchAll(/^(?:import|export)\b(?:[^;"]*?\bfrom)?\s*"([^"]+)";$/gm),
  ]
    .map(([, to]) => to!.startsWith(".") ? new URL(to!, url).href : to!)
    .map((to) => to.replace(src.href, "").replace(/\.ts$/, ""));
}

function allowed(name: string, to: string): boolean {
  const place = apartOf(name);
  if (!names.includes(to)) {
    return place !== "client" || PACKAGES_OF_CLIENT.includes(to);
  }
  if (place) return APART[place]!.some((other) => within(to, other));
  if (apartOf(to)) return false;
  if (roomOf(name) === roomOf(to)) return true;
  return rankOf(to) > rankOf(name);
}

describe("imports", () => {
  for (const name of ["mod", ...names]) {
    it(`${name} imports its own room and lower ones`, () => {
      const ranked = apartOf(name) !== undefined || rankOf(name) >= 0;
      assertEquals(ranked, true, `the room of ${name} has no rank`);
      assertEquals(importsOf(name).filter((to) => !allowed(name, to)), []);
    });
  }

  it("form no circle of files", () => {
    const done = new Set<string>();
    const circle = (name: string, path: string[]): string[] | undefined => {
      if (path.includes(name)) return [...path, name];
      if (done.has(name)) return;
      for (const to of importsOf(name)) {
        const found = names.includes(to) && circle(to, [...path, name]);
        if (found) return found;
      }
      done.add(name);
    };
    assertEquals(
      ["mod", ...names].map((name) => circle(name, [])).find(Boolean),
      undefined,
    );
  });
});
