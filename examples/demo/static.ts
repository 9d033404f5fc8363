/** Serves the files of page/, and nothing else. */
import { readdirSync, readFileSync } from "node:fs";
import type { Routed } from "./routes.ts";

const PAGE = new URL("page/", import.meta.url);

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

/** Adds the page; its files are read at the start, so that no path can reach other files. */
export function servePage(app: Routed): void {
  const files = new Map<string, { type: string; text: string }>();
  for (const name of readdirSync(PAGE)) {
    const type = TYPES[name.slice(name.lastIndexOf(".") + 1)];
    if (!type) continue;
    const text = readFileSync(new URL(name, PAGE), "utf8");
    files.set(`/${name.replace(/^index\.html$|\.html$/, "")}`, { type, text });
  }
  app.use(async (ctx, next) => {
    const file = files.get(ctx.path);
    if (!file || (ctx.method !== "GET" && ctx.method !== "HEAD")) {
      return await next();
    }
    ctx.type = file.type;
    ctx.body = file.text;
  });
}
