/** What stands before the routes: errors become JSON, foreign pages stay out. */
import type { Context, Next } from "./routes.ts";

/** The headers of every answer. */
const HEADERS = {
  "content-security-policy":
    "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
};

/** The connection went away under the answer: nothing to report. */
const GONE = new Set(["ECONNRESET", "EPIPE", "ECANCELED"]);

/** What the guard uses of the application. */
interface Guarded {
  use(middleware: (ctx: Context, next: Next) => Promise<void>): unknown;
  on(event: "error", listener: (error: HttpError) => void): unknown;
}

type HttpError = Error & {
  readonly status?: number;
  readonly expose?: boolean;
  readonly code?: string;
};

/** Sets headers, refuses writes from foreign pages, and answers errors as JSON. */
export function guardRequests(app: Guarded): void {
  app.on("error", (error) => {
    if (error.code && GONE.has(error.code)) return;
    console.error(error);
  });
  app.use(async (ctx, next) => {
    ctx.set(HEADERS);
    try {
      if (isForeignWrite(ctx)) ctx.throw(403, "Only the demo's own page may");
      await next();
      if (ctx.status === 404 && ctx.body === undefined) {
        ctx.throw(404, "There is nothing here");
      }
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

/** `SameSite=Lax` keeps the cookie from other sites' POSTs; this also tells them why. */
function isForeignWrite(ctx: Context): boolean {
  if (ctx.method === "GET" || ctx.method === "HEAD") return false;
  const site = ctx.get("sec-fetch-site");
  return site !== "" && site !== "same-origin";
}
