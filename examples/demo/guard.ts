/** Middleware before the routes: JSON errors, and no writes from foreign pages. */
import type { App, Context } from "./routes.ts";

/** The headers of every response; page.ts adds those of the page. */
const HEADERS = {
  "content-security-policy": "default-src 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
};

/** Codes of errors after the client closed the connection; not reported. */
const CLIENT_CLOSED = new Set(["ECONNRESET", "EPIPE", "ECANCELED"]);

type HttpError = Error & {
  readonly status?: number;
  readonly expose?: boolean;
  readonly code?: string;
};

/** Sets headers, refuses writes from foreign pages, and answers errors as JSON. */
export function guardRequests(app: App): void {
  app.on("error", (error: HttpError) => {
    if (error.code && CLIENT_CLOSED.has(error.code)) return;
    console.error(error);
  });
  app.use(async (ctx, next) => {
    ctx.set(HEADERS);
    try {
      if (isForeignWrite(ctx)) ctx.throw(403, "Only the demo's own page may");
      await next();
      if (ctx.status >= 400 && !ctx.body) ctx.throw(ctx.status);
    } catch (error) {
      answer(ctx, error as HttpError);
    }
  });
}

function answer(ctx: Context, error: HttpError): void {
  const status = error.status ?? 500;
  if (status >= 500) ctx.app.emit("error", error, ctx);
  ctx.status = status;
  ctx.body = {
    error: error.expose ? error.message : "Something went wrong",
    code: error.code,
  };
}

/** `SameSite=Lax` keeps the cookie out of POSTs from other sites; this adds an explicit 403. */
function isForeignWrite(ctx: Context): boolean {
  if (ctx.method === "GET" || ctx.method === "HEAD") return false;
  const site = ctx.get("sec-fetch-site");
  return site !== "" && site !== "same-origin";
}
