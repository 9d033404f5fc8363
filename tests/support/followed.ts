/**
 * A server that says and answers what a test wants, for the client: plain
 * Socket.IO, and a path to refresh at. No bridge is in it.
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

/** What the server does with a socket as soon as it is connected. */
export type Script = (socket: Socket, nth: number) => void;

/** The socket is in a session. */
export const inSession: Script = (socket) => void socket.emit("session:start");
/** It is in none, and its client is known. */
export const guest: Script = (socket) =>
  void socket.emit("session:none", { client: true });

/** Each script for one connection, the last one for all that follow. */
export function inTurn(...scripts: Script[]): Script {
  return (socket, nth) =>
    scripts[Math.min(nth, scripts.length) - 1]!(socket, nth);
}

const open = new Set<Stage>();

/** Closes every stage that was opened: for `afterEach`. */
export async function closeStages(): Promise<void> {
  await Promise.all([...open].map((stage) => stage.close()));
}

/** See the module's text. */
export class Stage {
  /** The sockets that connected, in order. */
  readonly sockets: Socket[] = [];
  /** What the path answers, one after the other; the last one for ever. */
  answers: number[] = [401];
  /** When it was asked, in ms. */
  readonly asked: number[] = [];
  /** What becomes of each socket of the default namespace. */
  script: Script;
  readonly io: Server = new Server();
  readonly #http: HttpServer;
  readonly #clients: SessionClient<unknown>[] = [];
  readonly #sockets: ClientSocket[] = [];

  private constructor(script: Script) {
    this.script = script;
    this.#http = createServer((req, res) => {
      if (req.url !== "/refresh") return;
      this.asked.push(Date.now());
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

  static async open(script: Script = () => {}, port = 0): Promise<Stage> {
    const stage = new Stage(script);
    await new Promise<void>((resolve) =>
      stage.#http.listen(port, "127.0.0.1", resolve)
    );
    open.add(stage);
    return stage;
  }

  get port(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The socket that connected last. */
  get last(): Socket {
    return this.sockets.at(-1)!;
  }

  /** A socket that is about to connect. */
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

  /** Follows a socket that is about to connect; {@linkcode Stage.close} closes both. */
  follow<View = unknown>(
    options: Partial<FollowOptions> = {},
    socket: ClientSocket = this.socket(),
  ): Followed<View> {
    const client = followSession<View>(socket, {
      refresh: `${this.url}/refresh`,
      minDelay: 4,
      maxDelay: 16,
      ...options,
    });
    this.#clients.push(client);
    return new Followed(client, socket);
  }

  async close(): Promise<void> {
    open.delete(this);
    for (const client of this.#clients) client.close();
    for (const socket of this.#sockets) {
      const { engine } = socket.io;
      const lives = engine !== undefined && engine.readyState !== "closed";
      const closed = lives ? once(engine, "close") : undefined;
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

/** A client, and all that it told. */
export class Followed<View = unknown> {
  /** The events so far: `"active"`, `"ended: logout"`, `"renewed"`… */
  readonly told: string[] = [];

  constructor(
    readonly client: SessionClient<View>,
    readonly socket: ClientSocket,
  ) {
    client.on("active", () => this.told.push("active"));
    client.on("ended", ({ reason }) => this.told.push(`ended: ${reason}`));
    client.on("expiring", ({ inMs }) => this.told.push(`expiring: ${inMs}`));
    client.on("renewed", () => this.told.push("renewed"));
    client.on("view", (view) => this.told.push(`view: ${view}`));
  }

  async stands(state: SessionClient["state"]): Promise<void> {
    await until(() => this.client.state === state, `the state ${state}`);
  }

  async tells(...told: string[]): Promise<void> {
    const all = told.join();
    await until(() => this.told.join() === all, `${all}`).catch((error) => {
      throw new Error(`${error.message}, but ${this.told.join()}`);
    });
  }

  /** Long enough for a client that goes on to show it. */
  async rests(): Promise<void> {
    await pause(60);
  }
}
