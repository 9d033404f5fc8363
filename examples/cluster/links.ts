/** A bar with links to the processes. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { allowPage, PAGE } from "../demo/page.ts";
import type { App } from "../demo/routes.ts";

/**
 * Adds links to all processes to the demo's page. Browsers send a cookie to all
 * ports of a host, so one login is valid for all processes.
 *
 * @param name describes this process
 */
export function linkProcesses(
  app: App,
  ports: readonly string[],
  own: string,
  name: string,
): void {
  app.use(async (ctx, next) => {
    if (ctx.path !== "/") return await next();
    const links = ports.map((port, i) => {
      const current = port === own ? ` aria-current="page"` : "";
      const text = current ? `<b>${i + 1}: ${name}</b>` : `${i + 1}`;
      const href = `http://${ctx.hostname}:${port}/`;
      return `<a class="pill" href="${escape(href)}"${current}>${text}</a>`;
    });
    const page = await readFile(join(PAGE, "index.html"), "utf8");
    allowPage(ctx.res);
    ctx.type = "html";
    ctx.body = page.replace(
      "</header>",
      `<nav id="processes" aria-label="Processes">${
        links.join("\n")
      }</nav></header>`,
    );
  });
}

/** Escapes HTML: the host name is input. */
function escape(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
