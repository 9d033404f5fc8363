/**
 * A server for the tests of the client, without a bridge: Socket.IO with
 * scripted events, and a path to refresh at with scripted answers.
 */
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Server, type Socket } from "socket.io";
import { io as connectTo, type Socket as ClientSocket } from "socket.io-client";
import {
  type FollowOptions,
  followSession,
  type SessionClient,
} from "@koa-io/session/client";
import { once, pause, until } from "./wait.ts";

/** Called with each socket when it connects, and with its number. */
export type Script = (socket: Socket, nth: number) => void;

/** Announces a session. */
export const inSession: Script = (socket) => void socket.emit("session:start");
/** Announces a client without a session. */
export const guest: Script = (socket) =>
  void socket.emit("session:none", { client: true });

/** Runs each script for one connection, and the last one for every later connection. */
export function inTurn(...scripts: Script[]): Script {
  return (socket, nth) =>
    scripts[Math.min(nth, scripts.length) - 1]!(socket, nth);
}

const open = new Set<ScriptedServer>();

/** Closes every server that was opened: for `afterEach`. */
export async function closeScriptedServers(): Promise<void> {
  await Promise.all([...open].map((server) => server.close()));
}

/** A Socket.IO server whose events and answers a test scripts, without a bridge. */
export class ScriptedServer {
  /** The sockets that connected, in order. */
  readonly sockets: Socket[] = [];
  /** The status codes of the path, in order; the last one is repeated. */
  answers: number[] = [401];
  /** The times of its requests, in ms. */
  readonly refreshes: number[] = [];
  /** The script of each socket of the default namespace. */
  script: Script;
  readonly io: Server = new Server();
  readonly #http: HttpServer;
  readonly #clients: SessionClient<unknown>[] = [];
  readonly #sockets: ClientSocket[] = [];

  private constructor(script: Script) {
    this.script = script;
    this.#http = createServer((req, res) => {
      if (req.url !== "/refresh") return;
      this.refreshes.push(Date.now());
      res.statusCode = this.answers.length > 1
        ? this.answers.shift()!
        : this.answers[0]!;
      res.end();
    });
    this.io.attach(this.#http);
    this.io.on("connection", (socket) => {
      this.sockets.push(socket);
      this.script(socket, this.sockets.length);
    });
  }

  static async open(
    script: Script = () => {},
    port = 0,
  ): Promise<ScriptedServer> {
    const server = new ScriptedServer(script);
    await new Promise<void>((resolve) =>
      server.#http.listen(port, "127.0.0.1", resolve)
    );
    open.add(server);
    return server;
  }

  get port(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The latest socket. */
  get last(): Socket {
    return this.sockets.at(-1)!;
  }

  /** A socket that connects at once. */
  socket(options: Parameters<typeof connectTo>[1] = {}): ClientSocket {
    const socket = connectTo(this.url, {
      transports: ["websocket"],
      forceNew: true,
      reconnectionDelay: 10,
      reconnectionDelayMax: 50,
      ...options,
    });
    this.#sockets.push(socket);
    return socket;
  }

  /** Follows a socket that connects at once; {@linkcode ScriptedServer.close} closes both. */
  follow<View = unknown>(
    options: Partial<FollowOptions> = {},
    socket: ClientSocket = this.socket(),
  ): RecordedClient<View> {
    const client = followSession<View>(socket, {
      refresh: `${this.url}/refresh`,
      minDelay: 4,
      maxDelay: 16,
      ...options,
    });
    this.#clients.push(client);
    return new RecordedClient(client, socket);
  }

  async close(): Promise<void> {
    open.delete(this);
    for (const client of this.#clients) client.close();
    for (const socket of this.#sockets) {
      const { engine } = socket.io;
      const open = engine !== undefined && engine.readyState !== "closed";
      const closed = open ? once(engine, "close") : undefined;
      socket.disconnect();
      engine?.close();
      await closed;
    }
    await this.stop();
  }

  /** Ends the server only. */
  async stop(): Promise<void> {
    if (!this.#http.listening) return;
    const closed = once(this.#http, "close");
    await this.io.close();
    this.#http.closeAllConnections();
    await closed;
  }
}

/** A client, and the events that it emitted. */
export class RecordedClient<View = unknown> {
  /** The events so far: `"active"`, `"ended: logout"`, `"renewed"`… */
  readonly events: string[] = [];

  constructor(
    readonly client: SessionClient<View>,
    readonly socket: ClientSocket,
  ) {
    client.on("active", () => this.events.push("active"));
    client.on("ended", ({ reason }) => this.events.push(`ended: ${reason}`));
    client.on("expiring", ({ inMs }) => this.events.push(`expiring: ${inMs}`));
    client.on("renewed", () => this.events.push("renewed"));
    client.on("view", (view) => this.events.push(`view: ${view}`));
  }

  async reaches(state: SessionClient["state"]): Promise<void> {
    await until(() => this.client.state === state, `the state ${state}`);
  }

  async emits(...events: string[]): Promise<void> {
    const all = events.join();
    await until(() => this.events.join() === all, `${all}`).catch((error) => {
      throw new Error(`${error.message}, but ${this.events.join()}`);
    });
  }

  /** Waits for as long as a client that goes on needs to show it. */
  async staysIdle(): Promise<void> {
    await pause(60);
  }
}
