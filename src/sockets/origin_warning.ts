/**
 * The warning at the first refusal of an origin: what came, what it was
 * compared with, and the likely cure.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { hasRequest, isJsonp } from "./engine_io.ts";

const MAX_LENGTH = 100;

/** Says why a request was refused. */
export interface Refusal {
  readonly req: IncomingMessage | null | undefined;
  /** The request that opened the connection, where a later one was refused. */
  readonly first?: IncomingMessage | undefined;
  /** The host that the `Origin` was compared with. */
  readonly host: string | undefined;
}

/** Prints the warning. */
export function warnOfRefusal(refusal: Refusal): void {
  console.warn(`[koa-io-session] ${describe(refusal)}`);
}

function describe({ req, first, host }: Refusal): string {
  if (!hasRequest(req)) {
    return "A socket was refused: its handshake has no request, and so neither an origin nor cookies that could be examined. Sockets that begin over WebTransport have none, and so have those whose request the application removed (rawSocket.request = null). Begin with WebSocket or polling.";
  }
  if (isJsonp(req)) {
    return "A request by JSONP polling was refused: any page can load it with a <script>, which sends the cookies and no Origin. Use the transports polling and websocket.";
  }
  const { origin } = req.headers;
  if (first) {
    return `A later request of a connection was refused: it came ${
      originOf(req)
    }, and the connection was opened ${originOf(first)} at the host ${
      quote(host)
    }. If both are of one page, and this server is behind a proxy, set app.proxy = true and let the proxy set X-Forwarded-Host and X-Forwarded-Proto.`;
  }
  if (origin === undefined) {
    return `A socket was refused: a page of another origin opened it ${
      originOf(req)
    }. Such a request does not come from a client of Socket.IO.`;
  }
  const name = quote(origin);
  return `A socket from the origin ${name} was refused: the host here is ${
    quote(host)
  }. If that is a page of yours at another address, give Socket.IO cors: { origin: ${name}, credentials: true }, or name the origin in the option origin, and give the client of Socket.IO withCredentials: true. If the page is from here, and this server is behind a proxy, set app.proxy = true and let the proxy set X-Forwarded-Host and X-Forwarded-Proto.`;
}

function originOf({ headers }: IncomingMessage): string {
  if (headers.origin !== undefined) return `from ${quote(headers.origin)}`;
  const site = headers["sec-fetch-site"];
  return site === undefined
    ? "without an Origin"
    : `without an Origin (Sec-Fetch-Site: ${String(site).slice(0, 20)})`;
}

function quote(text: string | undefined): string {
  if (text === undefined) return "unknown";
  return JSON.stringify(
    text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text,
  );
}
