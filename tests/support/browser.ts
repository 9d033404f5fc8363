/** A browser as the bridge sees it: a cookie jar, HTTP requests, sockets. */
import {
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  request,
} from "node:http";
import {
  io as connectTo,
  type ManagerOptions,
  type Socket as ClientSocket,
  type SocketOptions,
} from "socket.io-client";
import { CookieJar, KEY, parseSetCookie, type SetCookie } from "./cookies.ts";
import { once, settles, WAIT_LIMIT } from "./wait.ts";

export type { ClientSocket };

/** How one HTTP request differs from a plain one. */
export interface RequestOptions {
  readonly headers?: OutgoingHttpHeaders;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Another jar than the browser's own, which is then left alone. */
  readonly jar?: CookieJar;
  /** `false`: the answer's cookies are not kept, as when the answer is lost. */
  readonly keep?: boolean;
}

/** One HTTP answer. */
export class Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The body as text. */
  readonly body: string;
  /** The `Set-Cookie` lines, in order. */
  readonly setCookies: readonly SetCookie[];

  constructor(status: number, headers: IncomingHttpHeaders, body: string) {
    this.status = status;
    this.headers = headers;
    this.body = body;
    this.setCookies = (headers["set-cookie"] ?? []).map(parseSetCookie);
  }

  /** The body read as JSON. */
  // deno-lint-ignore no-explicit-any
  get json(): any {
    return JSON.parse(this.body);
  }

  /** The line that sets this cookie, if there is one. */
  cookie(name: string): SetCookie | undefined {
    return this.setCookies.find((cookie) => cookie.name === name);
  }
}

/** Whether an answer sets or removes the session cookie or its signature. */
export function mentionsSession(answer: Answer, key: string = KEY): boolean {
  return answer.cookie(key) !== undefined ||
    answer.cookie(`${key}.sig`) !== undefined;
}

/** Options of {@linkcode Browser.connect}: socket.io-client's, and `jar`. */
export type ConnectOptions =
  & Partial<ManagerOptions & SocketOptions>
  & { readonly jar?: CookieJar; readonly headers?: Record<string, string> };

/** One browser: what its tabs share. Made by `stand.browser()`, which closes it too. */
export class Browser {
  readonly jar: CookieJar;
  readonly url: string;
  readonly #sockets: ClientSocket[] = [];
  readonly #received = new WeakMap<ClientSocket, [string, ...unknown[]][]>();

  /**
   * @param url of the server, as `http://127.0.0.1:1234`
   * @param jar its cookies; browsers with the same jar are one browser at several servers
   */
  constructor(url: string, jar: CookieJar = new CookieJar()) {
    this.url = url;
    this.jar = jar;
  }

  get(path: string, options?: RequestOptions): Promise<Answer> {
    return this.request("GET", path, options);
  }

  post(path: string, options?: RequestOptions): Promise<Answer> {
    return this.request("POST", path, options);
  }

  /** One HTTP request on a connection of its own; sends the jar's cookies and keeps the answer's. */
  async request(
    method: string,
    path: string,
    options: RequestOptions = {},
  ): Promise<Answer> {
    const { jar = this.jar, keep = true } = options;
    const url = this.url + path;
    const cookie = jar.header(url);
    const answer = await fetchOnce(method, url, {
      ...(cookie && { cookie }),
      ...options.headers,
    }, options.json);
    if (keep) jar.apply(answer.setCookies, url);
    return answer;
  }

  /**
   * Connects a socket, over WebSocket unless `transports` says otherwise, with
   * the jar's cookies as they are now.
   *
   * @returns the connected socket
   * @throws the `connect_error` when the server refuses it
   */
  async connect(
    namespace = "/",
    options: ConnectOptions = {},
  ): Promise<ClientSocket> {
    const socket = this.socket(namespace, options);
    await this.open(socket);
    return socket;
  }

  /** As {@linkcode Browser.connect}, but not connected yet: for listeners that must be there before. */
  socket(namespace = "/", options: ConnectOptions = {}): ClientSocket {
    const { jar = this.jar, headers = {}, ...rest } = options;
    const cookie = jar.header(this.url);
    const socket = connectTo(this.url + namespace, {
      transports: ["websocket"],
      forceNew: true,
      reconnection: false,
      autoConnect: false,
      extraHeaders: { ...(cookie && { cookie }), ...headers },
      ...rest,
    });
    return this.adopt(socket);
  }

  /** Notes what the server sends to a socket, and closes it with the browser. */
  adopt(socket: ClientSocket): ClientSocket {
    this.#sockets.push(socket);
    const received: [string, ...unknown[]][] = [];
    this.#received.set(socket, received);
    socket.onAny((event: string, ...args: unknown[]) => {
      received.push([event, ...args]);
    });
    return socket;
  }

  /** Connects a socket that {@linkcode Browser.socket} made. */
  async open(socket: ClientSocket): Promise<void> {
    const opened = new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("connect_error", reject);
    });
    socket.connect();
    await settles(opened, "the socket connect");
  }

  /** Everything the server has sent to a socket of this browser so far: `[event, ...args]`. */
  received(socket: ClientSocket): readonly [string, ...unknown[]][] {
    return this.#received.get(socket) ?? [];
  }

  /** The arguments of the first such event that the server sent, or will send. */
  async event(socket: ClientSocket, event: string): Promise<unknown[]> {
    const found = this.received(socket).find(([name]) => name === event);
    return found ? found.slice(1) : await once(socket, event);
  }

  /** Emits an event and waits for its acknowledgement. */
  // deno-lint-ignore no-explicit-any
  ask(socket: ClientSocket, event: string, ...args: unknown[]): Promise<any> {
    return socket.timeout(WAIT_LIMIT).emitWithAck(event, ...args);
  }

  /** The first polling request of Engine.IO, by hand: its status shows how the server refuses. */
  handshake(headers: OutgoingHttpHeaders = {}): Promise<Answer> {
    const cookie = this.jar.header(this.url);
    return fetchOnce("GET", `${this.url}/socket.io/?EIO=4&transport=polling`, {
      ...(cookie && { cookie }),
      ...headers,
    });
  }

  /** The WebSocket upgrade of Engine.IO, by hand: `101` when the server takes it. */
  async upgrade(
    headers: OutgoingHttpHeaders = {},
    query: Record<string, string> = {},
  ): Promise<number> {
    const cookie = this.jar.header(this.url);
    const search = new URLSearchParams({
      EIO: "4",
      transport: "websocket",
      ...query,
    });
    const call = request(
      `${this.url}/socket.io/?${search}`,
      {
        agent: false,
        headers: {
          ...(cookie && { cookie }),
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
          ...headers,
        },
      },
    );
    const status = new Promise<number>((resolve, reject) => {
      call.on("upgrade", (_answer, socket) => {
        socket.on("error", () => {});
        socket.on("close", () => resolve(101));
        socket.destroy();
      });
      call.on("response", (answer) => {
        answer.resume();
        answer.on("end", () => resolve(answer.statusCode ?? 0));
      });
      call.on("error", reject);
    });
    call.end();
    return await settles(status, "the upgrade");
  }

  /** Closes every socket and waits until their connections are closed. */
  async close(): Promise<void> {
    await Promise.all(this.#sockets.splice(0).map(closeSocket));
  }
}

function fetchOnce(
  method: string,
  url: string,
  headers: OutgoingHttpHeaders,
  json?: unknown,
): Promise<Answer> {
  const body = json === undefined ? undefined : JSON.stringify(json);
  const answered = new Promise<Answer>((resolve, reject) => {
    // agent: false → a connection of its own, which ends with the answer
    const call = request(url, {
      method,
      agent: false,
      headers: {
        ...(body !== undefined && {
          "content-type": "application/json",
          "content-length": String(new TextEncoder().encode(body).length),
        }),
        ...headers,
      },
    }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => text += chunk);
      answer.on("error", reject);
      answer.on(
        "end",
        () => resolve(new Answer(answer.statusCode ?? 0, answer.headers, text)),
      );
    });
    call.on("error", reject);
    call.end(body);
  });
  return settles(answered, `${method} ${url}`, 2 * WAIT_LIMIT);
}

async function closeSocket(socket: ClientSocket): Promise<void> {
  const { engine } = socket.io;
  const open = engine !== undefined && engine.readyState !== "closed";
  const closed = open ? once(engine, "close") : undefined;
  socket.io.reconnection(false);
  socket.disconnect();
  engine?.close();
  await closed;
}
