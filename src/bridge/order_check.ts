/**
 * A bridge whose HTTP half never runs: koa-compose copies Koa's middleware at
 * `app.callback()`, so a bridge that is made after it is never asked.
 *
 * @module
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";

/** Looks at answers that never passed the bridge, until the first that did. */
export class OrderCheck {
  readonly #ran: () => boolean;
  readonly #servers = new Set<Server>();
  #warned = false;

  /** @param ran whether a request ever passed the bridge */
  constructor(ran: () => boolean) {
    this.#ran = ran;
  }

  /** Whether an answer was seen that the bridge should have had a part in. */
  get missed(): boolean {
    return this.#warned;
  }

  /** Watches a server; the same one only once. */
  watch(server: unknown): void {
    const candidate = server as Server | undefined;
    if (typeof candidate?.on !== "function" || this.#servers.has(candidate)) {
      return;
    }
    if (this.#ran() || this.#warned) return;
    this.#servers.add(candidate);
    candidate.on("request", this.#onRequest);
  }

  close(): void {
    for (const server of this.#servers) server.off("request", this.#onRequest);
    this.#servers.clear();
  }

  readonly #onRequest = (_req: IncomingMessage, res: ServerResponse): void => {
    if (this.#ran()) return this.close();
    res.once("finish", () => {
      if (this.#ran()) return this.close();
      // Koa answers what nobody handled with 404; others on this server may answer in their own right
      if (res.statusCode !== 404 || this.#warned) return;
      this.#warned = true;
      this.close();
      console.warn(
        "[koa-io-session] A request was answered 404 and never reached the bridge. Koa takes its middleware at app.callback(): call bridgeSession(app, io) and app.use(...) before it.",
      );
    });
  };
}
