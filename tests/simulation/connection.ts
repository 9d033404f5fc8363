/** What a Socket.IO server uses of Engine.IO, without a network. */
import { EventEmitter } from "node:events";
import type { FakeRequest } from "./http.ts";

/** An engine that no HTTP server is attached to. */
export class FakeEngine extends EventEmitter {
  readonly opts: Record<string, unknown> = {};
  readonly clients: Record<string, FakeConnection> = {};

  verify(): void {}

  use(): void {}

  close(): void {}
}

/** The client's end of a connection. */
export interface Peer {
  /** The server has sent a packet. */
  received(packet: string): void;
  /** The connection has ended. */
  closed(): void;
  /** Calls back when a packet that closes the connection has been sent. */
  later(run: () => void): void;
}

let latest = 0;

/** The server's end of a connection. */
export class FakeConnection extends EventEmitter {
  readonly id: string = `conn${++latest}`;
  readonly protocol: number = 4;
  readonly remoteAddress: string = "127.0.0.1";
  readonly transport: object = { name: "websocket", writable: true };
  readyState: "open" | "closing" | "closed" = "open";
  readonly #peer: Peer;

  constructor(
    readonly request: FakeRequest,
    readonly server: FakeEngine,
    peer: Peer,
  ) {
    super();
    this.#peer = peer;
    server.clients[this.id] = this;
  }

  write(packet: string): this {
    if (this.readyState !== "closed") this.#peer.received(packet);
    return this;
  }

  send(packet: string): this {
    return this.write(packet);
  }

  close(discard?: boolean): void {
    if (this.readyState === "closed") return;
    if (discard) return this.end("forced close");
    if (this.readyState === "closing") return;
    this.readyState = "closing";
    this.#peer.later(() => this.end("forced close"));
  }

  /** The connection ends, here and at the client. */
  end(reason: string): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    delete this.server.clients[this.id];
    this.emit("close", reason);
    this.#peer.closed();
  }
}
