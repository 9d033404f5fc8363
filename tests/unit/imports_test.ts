import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { readdirSync, readFileSync } from "node:fs";

// Each file imports only files of later lines, or of its own, types included.
const RANKS = [
  "mod",
  "bridge",
  "assembly stats",
  "lifecycle elsewhere doctor fitness",
  "http socket feed",
  "native_store",
  "session_cookies",
  "session_socket request handshake",
  "rooms recovery setup binding validity native reconcile expiring greeting following admission membership equipment",
  "transaction clients cluster",
  "rotation joining conclusion",
  "requests",
  "opener ending",
  "lookup editor",
  "records resolve",
  "store_option passed_on",
  "options option_reader",
  "cookies origin",
  "lately",
  "koa",
  "missing scope",
  "door lease basic",
  "census",
  "in_time session_store schema trace graves",
  "session_store_options entries stored_object",
  "owner_index recent",
  "store patch mutex",
  "expiry",
  "arguments events errors ids refresh",
].map((rank) => rank.split(" "));
const APART = ["http", "socket"];
// Files that nothing above may import, by folder or name, and what they may.
const ASIDE: Record<string, string[]> = {
  stores: ["stores", "store", "expiry", "errors", "ids"],
  testing: ["testing", "store", "errors", "ids"],
  client: ["client", "socket.io-client"],
};

const src = new URL("../../src/", import.meta.url);
const names = readdirSync(src, { recursive: true }).map(String)
  .filter((path) => path.endsWith(".ts")).map((path) => path.slice(0, -3));
const room = (name: string) => name.split("/")[0]!;
const rankOf = (name: string) => RANKS.findIndex((rank) => rank.includes(name));

function importsOf(name: string): string[] {
  const url = new URL(name === "mod" ? "../mod.ts" : `${name}.ts`, src);
  const code = readFileSync(url, "utf8").replace(/^\s*(\*|\/\/).*$/gm, "");
  return [...code.matchAll(/^(?:import|export)\b[^;]*?"([^"]+)";$/gm)]
    .map(([, to]) => to!.startsWith(".") ? new URL(to!, url).href : to!)
    .map((to) => to.replace(src.href, "").replace(/\.ts$/, ""));
}

function allowed(name: string, to: string): boolean {
  const aside = ASIDE[room(name)];
  const ours = names.includes(to);
  if (aside) return aside.includes(room(to)) || (!ours && name !== "client");
  if (APART.includes(name) && APART.includes(to)) return false;
  return !ours || (rankOf(to) >= rankOf(name) && rankOf(to) >= 0);
}

describe("imports", () => {
  for (const name of ["mod", ...names]) {
    it(`${name} imports only what stands to its right`, () => {
      assert(room(name) in ASIDE || rankOf(name) >= 0, `${name} has no rank`);
      assertEquals(importsOf(name).filter((to) => !allowed(name, to)), []);
    });
  }
});
