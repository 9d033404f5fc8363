/** The files of page/, and the headers that they need. */
import type { ServerResponse } from "node:http";
import { fileURLToPath } from "node:url";
// @ts-types="@types/koa"
import type Koa from "koa";
// @ts-types="@types/koa-static"
import serve from "koa-static";

/** The directory with the files of the page. */
export const PAGE: string = fileURLToPath(new URL("page/", import.meta.url));

/** Hosts below `localhost` are this machine, each with cookies of its own: /panes shows two of them. */
const PANES = "http://demo.localhost:* http://*.demo.localhost:*";

const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  `connect-src 'self' ws: wss: ${PANES}`,
  `frame-src 'self' ${PANES}`,
  `frame-ancestors 'self' ${PANES}`,
  "base-uri 'none'",
  "form-action 'self'",
].join("; ");

/** Serves the files of page/: `/` is index.html, and `/panes` is panes.html. */
export function servePage(): Koa.Middleware {
  return serve(PAGE, { extensions: ["html"], setHeaders: allowPage });
}

/** Sets what the page may load, and who may frame it. */
export function allowPage(res: ServerResponse): void {
  res.setHeader("content-security-policy", CONTENT_SECURITY_POLICY);
}
