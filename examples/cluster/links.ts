/** The bar by which the page switches between the processes. */
import type { Routed } from "../demo/routes.ts";

/**
 * Puts links to all processes on the demo's page. Browsers give a cookie to
 * all ports of a host: who is logged in on one is so on the others.
 *
 * @param name says which process this is
 */
export function linkProcesses(
  app: Routed,
  ports: readonly string[],
  own: string,
  name: string,
): void {
  app.use(async (ctx, next) => {
    await next();
    if (ctx.path !== "/" || typeof ctx.body !== "string") return;
    const links = ports.map((port, i) => {
      const current = port === own ? ` aria-current="page"` : "";
      const text = current ? `<b>${i + 1}: ${name}</b>` : `${i + 1}`;
      const href = `http://${ctx.hostname}:${port}/`;
      return `<a class="pill" href="${escape(href)}"${current}>${text}</a>`;
    });
    ctx.body = ctx.body.replace(
      "</header>",
      `<nav id="processes" aria-label="Processes">${
        links.join("\n")
      }</nav></header>`,
    );
  });
}

/** The host's name comes from outside. */
function escape(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
