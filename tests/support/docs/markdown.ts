/**
 * The code blocks of a document, and how each is tested.
 *
 * The word after the opening fence is the language; the words after that are
 * not shown to readers, and define how a block is tested:
 *
 * - `file=NAME`: a whole file. Its page's other files stand beside it.
 * - `in=NAME`: continues that file. It is inserted before the line that makes the server, as the text around it instructs.
 * - `ignore`: `deno test --doc` skips it, as it would serve for ever.
 * - none of these: the block runs alone and ends.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";

/** One fenced block. */
export interface Block {
  readonly language: string;
  /** `file=server.ts` → `{ file: "server.ts" }`, `ignore` → `{ ignore: "" }`. */
  readonly marks: Readonly<Record<string, string>>;
  readonly text: string;
  /** Where it begins, as `README.md:12`. */
  readonly place: string;
}

const ROOT = new URL("../../../", import.meta.url);
const FENCE = /^( *)```(\S*) ?(.*)$/;

/** The text of a file of the project, by its path from the root. */
export function readDocument(path: string): string {
  return readFileSync(new URL(path, ROOT), "utf8");
}

/** The paths of the Markdown files in a folder. */
export function documentsIn(folder: string): string[] {
  return readdirSync(new URL(`${folder}/`, ROOT))
    .filter((name) => name.endsWith(".md"))
    .sort()
    .map((name) => `${folder}/${name}`);
}

/** The fenced blocks of a document, in order. */
export function blocksOf(path: string): Block[] {
  const blocks: Block[] = [];
  const lines = readDocument(path).split("\n");
  for (let at = 0; at < lines.length; at++) {
    const [, indent = "", language = "", info = ""] = lines[at]!.match(FENCE) ??
      [];
    if (!lines[at]!.startsWith(`${indent}\`\`\``)) continue;
    const place = `${path}:${at + 1}`;
    const end = lines.indexOf(`${indent}\`\`\``, at + 1);
    if (end < 0) throw new Error(`Cannot find the end of the block ${place}`);
    const text = lines.slice(at + 1, end)
      .map((line) => line.slice(indent.length)).join("\n") + "\n";
    blocks.push({ language, marks: marksOf(info), text, place });
    at = end;
  }
  return blocks;
}

function marksOf(info: string): Record<string, string> {
  return Object.fromEntries(
    info.split(" ").filter(Boolean).map((word) => {
      const [name, value = ""] = word.split("=");
      return [name!, value];
    }),
  );
}

/** Whether a block is a program, or a part of one. */
export function isCode({ language }: Block): boolean {
  return language === "ts" || language === "js";
}

/** The files of a page by name, each with its continuations. */
export function filesOf(blocks: readonly Block[]): Record<string, string> {
  const files: Record<string, string> = {};
  for (const { marks, text, place } of blocks) {
    if (marks.file) {
      if (files[marks.file]) {
        throw new Error(`${place}: a second ${marks.file}`);
      }
      files[marks.file] = text;
    } else if (marks.in) {
      const whole = files[marks.in];
      const at = whole?.search(/^(\/\/ [^\n]*\n)*const server = /m) ?? -1;
      if (at < 0) {
        throw new Error(`${place}: there is no server in ${marks.in}`);
      }
      files[marks.in] = `${whole!.slice(0, at)}${text}\n${whole!.slice(at)}`;
    }
  }
  return files;
}

/** Whether there is a file or a folder, by its path from the root. */
export function isThere(path: string): boolean {
  return existsSync(new URL(path, ROOT));
}
