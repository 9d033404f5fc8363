/**
 * The CORS headers for the origins that the option `origin` names. Without
 * them a browser keeps the answers of polling from a page of another origin.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import type { EngineMiddleware, EngineResponse } from "./engine_io.ts";

/**
 * A middleware of an engine that has no policy `cors`. What another middleware
 * has set is left alone.
 *
 * @param isAllowed whether a page of the request's origin may read the answer
 */
export function corsHeaders(
  isAllowed: (req: IncomingMessage) => Promise<boolean>,
): EngineMiddleware {
  return async (req, res, next) => {
    // a WebSocket needs none
    if (req.headers.upgrade !== undefined) return next();
    if (res.getHeader("Access-Control-Allow-Origin") !== undefined) {
      return next();
    }
    vary(res, "Origin");
    const { origin } = req.headers;
    if (origin === undefined || !await isAllowed(req)) return next();
    res.setHeader("Access-Control-Allow-Origin", origin);
    res.setHeader("Access-Control-Allow-Credentials", "true");
    const isPreflight = req.method === "OPTIONS" &&
      req.headers["access-control-request-method"] !== undefined;
    if (!isPreflight) return next();
    res.setHeader("Access-Control-Allow-Methods", "GET,POST");
    vary(res, "Access-Control-Request-Headers");
    const asked = req.headers["access-control-request-headers"];
    if (asked !== undefined) {
      res.setHeader("Access-Control-Allow-Headers", asked);
    }
    res.setHeader("Content-Length", "0");
    res.statusCode = 204;
    res.end();
  };
}

function vary(res: EngineResponse, field: string): void {
  const present = res.getHeader("Vary");
  res.setHeader("Vary", present === undefined ? field : `${present}, ${field}`);
}
