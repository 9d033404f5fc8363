/** Requests to the server, over HTTP and over the socket, with their latencies. */

// the page loads the client that the Socket.IO server serves
const { io } = globalThis;

/** Time limit for an acknowledgement, ms. */
const PATIENCE = 15_000;

export class Api {
  socket = io({
    autoConnect: false,
    transports: ["websocket", "polling"],
    // after a login or a logout it reconnects with the new cookies
    reconnectionDelay: 200,
    // asks for session:start or session:none at each connection
    auth: { "koa-io-session": 1 },
  });
  #tab;
  #plot;
  /** Counts that have begun, and those that are under way. */
  #begun = 0;
  #running = 0;

  constructor(tab, plot) {
    this.#tab = tab;
    this.#plot = plot;
  }

  get(path) {
    return this.#fetch(path, {});
  }

  post(path, body) {
    const headers = body === undefined
      ? {}
      : { "content-type": "application/json" };
    return this.#fetch(path, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
    });
  }

  /** Emits an event with an acknowledgement. */
  async ask(event, ...args) {
    const { value, error } = await this.socket.timeout(PATIENCE)
      .emitWithAck(event, ...args);
    if (error) throw new Error(error);
    return value;
  }

  /**
   * Adds one to the counter: `"session"` and `"transaction"` go over HTTP, `"socket"` over the socket.
   * The latency is shown if no other count was under way: beside others it is that of a queue.
   *
   * @param pause how long the handler waits before it writes, ms
   */
  async count(way, pause = 0) {
    const own = ++this.#begun;
    const alone = this.#running++ === 0 && pause === 0;
    const start = performance.now();
    try {
      const value = way === "socket"
        ? await this.ask("count", this.#tab, pause)
        : (await this.post(`count/${way}?pause=${pause}`)).value;
      if (alone && own === this.#begun) {
        const side = way === "socket" ? "socket" : "http";
        this.#plot.add(side, performance.now() - start);
      }
      return value;
    } finally {
      this.#running--;
    }
  }

  async #fetch(path, options) {
    const response = await fetch(`/api/${path}`, {
      ...options,
      headers: { ...options.headers, "x-tab": this.#tab },
    });
    const text = await response.text();
    if (response.ok) return JSON.parse(text);
    throw new Error(errorIn(text) ?? `The server answered ${response.status}`);
  }
}

function errorIn(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return undefined;
  }
}
