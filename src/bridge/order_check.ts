/**
 * Detects a bridge that is constructed after `app.callback()`: koa-compose
 * copies the middleware there, so that the bridge's never runs.
 *
 * @module
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";

/** Examines responses until the first request that passed the bridge. */
export class OrderCheck {
  readonly #http: { readonly ran: boolean };
  readonly #servers = new Set<Server>();
  #warned = false;

  /** @param http says whether a request has passed the bridge */
  constructor(http: { readonly ran: boolean }) {
    this.#http = http;
  }

  /** Whether a response was seen that should have passed the bridge. */
  get missed(): boolean {
    return this.#warned;
  }

  /** Watches a server; the same one only once. */
  watch(server: unknown): void {
    const candidate = server as Server | undefined;
    if (typeof candidate?.on !== "function" || this.#servers.has(candidate)) {
      return;
    }
    if (this.#http.ran || this.#warned) return;
    this.#servers.add(candidate);
    candidate.on("request", this.#onRequest);
  }

  close(): void {
    for (const server of this.#servers) server.off("request", this.#onRequest);
    this.#servers.clear();
  }

  readonly #onRequest = (_req: IncomingMessage, res: ServerResponse): void => {
    if (this.#http.ran) return this.close();
    res.once("finish", () => {
      if (this.#http.ran) return this.close();
      // Koa answers an unhandled request with 404; other statuses may come from other listeners
      if (res.statusCode !== 404 || this.#warned) return;
      this.#warned = true;
      this.close();
      console.warn(
        "[koa-io-session] A request was answered 404 and never reached the bridge. Koa takes its middleware at app.callback(): call bridgeSession(app, io) and app.use(...) before it.",
      );
    });
  };
}
