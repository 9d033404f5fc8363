/**
 * A Socket.IO client that needs little CPU: Engine.IO over a minimal WebSocket
 * implementation on a TCP connection, masked with zeros.
 */
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";

const HANDSHAKE = [
  "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1",
  "Host: localhost",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/** A masked text frame; a mask of zeros leaves the text as it is. */
export function frame(text: string): Buffer {
  const body = Buffer.from(text, "utf8");
  if (body.length > 125) throw new RangeError("The load sends short frames");
  const head = Buffer.from([0x81, 0x80 | body.length, 0, 0, 0, 0]);
  return Buffer.concat([head, body]);
}

/** Event packets for ids 0 to `window` - 1, built once and sent repeatedly. */
export function events(event: string, window: number): readonly Buffer[] {
  return Array.from(
    { length: window },
    (_, id) => frame(`42${id}["${event}",1]`),
  );
}

const PONG = frame("3");
const CONNECT = frame("40");

/** One connected socket. */
export class EngineSocket {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #upgraded = false;
  #out: Buffer[] = [];
  #opened!: (socket: this) => void;
  #failed!: (error: Error) => void;
  /** Is called with the id of each acknowledged event. */
  acknowledged: (id: number) => void = () => {};
  /** Is called at each event of the server. */
  emitted: () => void = () => {};

  /** Connects to the default namespace. */
  static open(port: number, cookie: string): Promise<EngineSocket> {
    return new Promise((resolve, reject) => {
      const socket = new EngineSocket(port, cookie);
      socket.#opened = resolve;
      socket.#failed = reject;
    });
  }

  private constructor(port: number, cookie: string) {
    const lines = cookie ? [...HANDSHAKE, `Cookie: ${cookie}`] : HANDSHAKE;
    this.#socket = connect(port, "127.0.0.1");
    this.#socket.setNoDelay(true);
    this.#socket.on("data", (bytes: Buffer) => this.#receive(bytes));
    this.#socket.on("error", (error) => this.#failed(error));
    this.#socket.on("close", () => {
      this.#failed(new Error("The server closed the socket"));
    });
    this.#socket.write(lines.join("\r\n") + "\r\n\r\n");
  }

  /** Sends a frame; the frames of one turn of the event loop are sent together. */
  send(bytes: Buffer): void {
    if (this.#out.length === 0) queueMicrotask(() => this.#flush());
    this.#out.push(bytes);
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#failed = () => {};
      this.#socket.once("close", () => resolve());
      this.#socket.destroy();
    });
  }

  #flush(): void {
    const out = this.#out;
    this.#out = [];
    this.#socket.write(out.length === 1 ? out[0]! : Buffer.concat(out));
  }

  #receive(bytes: Buffer): void {
    let data = this.#rest.length > 0
      ? Buffer.concat([this.#rest, bytes])
      : bytes;
    if (!this.#upgraded) {
      const end = data.indexOf("\r\n\r\n");
      if (end < 0) return void (this.#rest = data);
      const head = data.toString("latin1", 0, end);
      if (!head.startsWith("HTTP/1.1 101")) {
        return this.#failed(new Error(head));
      }
      this.#upgraded = true;
      data = data.subarray(end + 4);
    }
    let at = 0;
    while (data.length - at >= 2) {
      let length = data[at + 1]!;
      let start = at + 2;
      if (length === 126) {
        if (data.length - at < 4) break;
        length = data.readUInt16BE(start);
        start += 2;
      }
      if (data.length < start + length) break;
      this.#packet(data, start, start + length);
      at = start + length;
    }
    this.#rest = data.subarray(at);
  }

  /** `0` open, `2` ping, `40` connected, `44` refused, `42[…]` an event, `43<id>[…]` acknowledged. */
  #packet(data: Buffer, start: number, end: number): void {
    const [type, kind] = [data[start]! - 48, data[start + 1]! - 48];
    if (type === 0) this.send(CONNECT);
    else if (type === 2) this.send(PONG);
    else if (type === 4 && kind === 0) this.#opened(this);
    else if (type === 4 && kind === 4) {
      this.#failed(new Error(data.toString("utf8", start, end)));
    } else if (type === 4 && kind === 2) {
      this.emitted();
    } else if (type === 4 && kind === 3) {
      let id = 0;
      for (let at = start + 2; data[at] !== 0x5b && at < end; at++) {
        id = id * 10 + data[at]! - 48;
      }
      this.acknowledged(id);
    }
  }
}
