/** Tabs of a browser: sockets that connect again by themselves, each time with the cookies that the browser has then. */
import type { Browser, ClientSocket, ConnectOptions } from "./browser.ts";
import { once, until } from "./wait.ts";

/** What a server socket says of itself, by the event `whoami` of `sessionEvents`. */
export interface Whoami {
  readonly sessionId?: string;
  readonly clientId?: string;
}

/** Reconnects fast, as a test does not want to wait. */
const RECONNECTS: ConnectOptions = {
  reconnection: true,
  reconnectionDelay: 20,
  reconnectionDelayMax: 40,
};

/** One socket of a tab. */
export class Tab {
  readonly browser: Browser;
  readonly client: ClientSocket;

  private constructor(browser: Browser, client: ClientSocket) {
    this.browser = browser;
    this.client = client;
  }

  /** Opens a tab, and connects it. */
  static async open(
    browser: Browser,
    options: ConnectOptions = {},
    namespace = "/",
  ): Promise<Tab> {
    const headers = {};
    // asked at each connection, and by polling at each request
    Object.defineProperty(headers, "cookie", {
      enumerable: true,
      get: () => browser.jar.header(browser.url),
    });
    const client = browser.socket(namespace, { ...RECONNECTS, ...options });
    client.io.opts.extraHeaders = headers;
    await browser.open(client);
    return new Tab(browser, client);
  }

  /** Connects to another namespace by the same connection. */
  async also(namespace: string): Promise<Tab> {
    const client = this.browser.adopt(this.client.io.socket(namespace));
    const connected = once(client, "connect");
    client.connect();
    await connected;
    return new Tab(this.browser, client);
  }

  /** Everything that the server has sent to it so far. */
  get received(): readonly [string, ...unknown[]][] {
    return this.browser.received(this.client);
  }

  /** The events of the bridge among them, without the offsets of recovery. */
  get notices(): readonly (readonly unknown[])[] {
    return this.received.filter(([name]) => name.startsWith("session:"))
      .map((event) => event.filter((_, i) => i < 2 && !isOffset(event, i)));
  }

  /** Where the server has it. */
  async whoami(): Promise<Whoami> {
    return await this.browser.ask(this.client, "whoami");
  }

  /** Waits until it is in this session; `undefined`: in none. */
  async isIn(sessionId: string | undefined, timeout?: number): Promise<void> {
    let seen: unknown = "nothing";
    await until(
      async () => {
        if (!this.client.connected) return false;
        // a connection that is closed answers no more
        seen = await this.client.timeout(200).emitWithAck("whoami")
          .then((it: Whoami) => it.sessionId, (error: Error) => error.message);
        return seen === sessionId;
      },
      `the tab in ${sessionId}`,
      timeout,
    ).catch((error) => {
      throw new Error(`${error.message}: it is in ${seen}`);
    });
  }
}

function isOffset(event: readonly unknown[], i: number): boolean {
  return i > 0 && typeof event[i] === "string";
}
