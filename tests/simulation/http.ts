/** Requests and responses of Node without a network. */
import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";

/** A request. */
export class FakeRequest extends EventEmitter {
  readonly method: string = "GET";
  readonly httpVersion: string = "1.1";
  readonly complete: boolean = true;
  readonly socket: object = { remoteAddress: "127.0.0.1", encrypted: false };
  readonly connection: object = this.socket;
  readonly _query: Readonly<Record<string, string>> = {};

  constructor(
    readonly url: string,
    readonly headers: Readonly<Record<string, string>>,
  ) {
    super();
  }

  /** The same with Node's type. */
  get asNode(): IncomingMessage {
    return this as unknown as IncomingMessage;
  }
}

/** A response that is kept. */
export class FakeResponse extends EventEmitter {
  statusCode = 200;
  headersSent = false;
  finished = false;
  writableEnded = false;
  destroyed = false;
  body = "";
  readonly #headers = new Map<string, string | string[]>();
  readonly #ended: (response: FakeResponse) => void;

  /** @param ended is called when the response is complete */
  constructor(ended: (response: FakeResponse) => void) {
    super();
    this.#ended = ended;
  }

  /** The same with Node's type. */
  get asNode(): ServerResponse {
    return this as unknown as ServerResponse;
  }

  getHeader(name: string): string | string[] | undefined {
    return this.#headers.get(name.toLowerCase());
  }

  getHeaderNames(): string[] {
    return [...this.#headers.keys()];
  }

  getHeaders(): Record<string, string | string[]> {
    return Object.fromEntries(this.#headers);
  }

  hasHeader(name: string): boolean {
    return this.#headers.has(name.toLowerCase());
  }

  setHeader(name: string, value: string | string[]): this {
    if (this.headersSent) throw new Error("Headers are sent");
    this.#headers.set(name.toLowerCase(), value);
    return this;
  }

  removeHeader(name: string): void {
    this.#headers.delete(name.toLowerCase());
  }

  writeHead(status: number): this {
    this.statusCode = status;
    this.headersSent = true;
    return this;
  }

  flushHeaders(): void {
    if (!this.headersSent) this.writeHead(this.statusCode);
  }

  end(body?: unknown): this {
    if (this.writableEnded) return this;
    this.flushHeaders();
    if (typeof body === "string") this.body = body;
    this.writableEnded = this.finished = true;
    this.#ended(this);
    queueMicrotask(() => {
      this.emit("finish");
      this.destroyed = true;
      this.emit("close");
    });
    return this;
  }
}

/** The cookies of a browser. */
export class Jar {
  readonly #cookies = new Map<string, string>();

  /** The header `Cookie`. */
  get header(): string {
    return [...this.#cookies].map(([name, value]) => `${name}=${value}`)
      .join("; ");
  }

  /** The value of a cookie. */
  get(name: string): string | undefined {
    return this.#cookies.get(name);
  }

  /** Takes what a response sets. */
  take(setCookie: string | string[] | undefined, now: number): void {
    for (const line of [setCookie ?? []].flat()) {
      const [pair, ...attributes] = line.split(/;\s*/);
      const at = pair!.indexOf("=");
      const name = pair!.slice(0, at);
      const expires = attributes.find((one) => /^expires=/i.test(one));
      const gone = expires !== undefined &&
        Date.parse(expires.slice(8)) <= now;
      if (gone) this.#cookies.delete(name);
      else this.#cookies.set(name, pair!.slice(at + 1));
    }
  }
}
