/** An HTTP client that needs little CPU: keep-alive, one request at a time. */
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";

/** The parts of a response that the load generator uses. */
export interface Answer {
  readonly status: number;
  readonly cookies: readonly string[];
}

/** The bytes of a GET request. */
export function request(path: string, cookie: string): Buffer {
  const lines = [`GET ${path} HTTP/1.1`, "Host: localhost"];
  if (cookie) lines.push(`Cookie: ${cookie}`);
  return Buffer.from(lines.join("\r\n") + "\r\n\r\n", "latin1");
}

/** One connection. */
export class HttpConnection {
  readonly #socket: Socket;
  #text = "";
  #answered: ((head: string) => void) | undefined;
  #failed: ((error: Error) => void) | undefined;

  constructor(port: number) {
    this.#socket = connect(port, "127.0.0.1");
    this.#socket.setNoDelay(true);
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", (text) => this.#receive(String(text)));
    const failed = (error?: Error) =>
      this.#failed?.(error ?? new Error("The server closed the connection"));
    this.#socket.on("error", failed);
    this.#socket.on("close", () => failed());
  }

  /** Sends a request and calls back with the head of the response. */
  send(bytes: Buffer, answered: (head: string) => void): void {
    this.#answered = answered;
    this.#socket.write(bytes);
  }

  /** Sends a request and waits for the response. */
  get(path: string, cookie: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#failed = reject;
      this.send(request(path, cookie), (head) => {
        const cookies = [...head.matchAll(/^set-cookie: ([^;\r]*)/gim)];
        resolve({
          status: statusOf(head),
          cookies: cookies.map(([, pair]) => pair!),
        });
      });
    });
  }

  close(): void {
    this.#failed = undefined;
    this.#socket.destroy();
  }

  #receive(text: string): void {
    const all = this.#text + text;
    const end = all.indexOf("\r\n\r\n");
    const length = end < 0 ? undefined : bodyLength(all, end);
    if (length === undefined || all.length < end + 4 + length) {
      this.#text = all;
      return;
    }
    this.#text = all.slice(end + 4 + length);
    this.#answered!(all.slice(0, end));
  }
}

/** The status of a response, from its head. */
export function statusOf(head: string): number {
  return Number(head.slice(9, 12));
}

function bodyLength(text: string, end: number): number {
  const at = text.search(/\r\ncontent-length: /i);
  if (at < 0 || at > end) {
    throw new Error(`The load needs a Content-Length: ${text.slice(0, end)}`);
  }
  return parseInt(text.slice(at + 18));
}

/** Requests `path` with the cookies of a client, and keeps those that it is given. */
export async function visit(
  connection: HttpConnection,
  path: string,
  jar: CookieJar,
): Promise<void> {
  const answer = await connection.get(path, String(jar));
  if (answer.status !== 200) throw new Error(`${path} ${answer.status}`);
  jar.keep(answer.cookies);
}

/** The cookies that a client has received. */
export class CookieJar {
  readonly #pairs = new Map<string, string>();

  /** @param header the value of a Cookie header */
  constructor(header = "") {
    if (header) this.keep(header.split("; "));
  }

  keep(cookies: readonly string[]): void {
    for (const pair of cookies) this.#pairs.set(pair.split("=")[0]!, pair);
  }

  /** The value of the Cookie header. */
  toString(): string {
    return [...this.#pairs.values()].join("; ");
  }
}
