/** A tab of a browser: a Socket.IO client that reconnects by itself. */
import type { Clock, Context } from "./clock.ts";
import type { FakeConnection } from "./connection.ts";
import type { Jar } from "./http.ts";
import type { Journal } from "./journal.ts";
import { latency } from "./link.ts";
import type { SimulatedNode } from "./node.ts";
import { Random } from "./random.ts";

/** What a tab needs of its simulation. */
export interface TabHost {
  readonly clock: Clock;
  readonly journal: Journal;
  /** The node of a number, unless it is dead. */
  nodeAt(index: number): SimulatedNode | undefined;
}

/** One tab, with at most one connection at a time. */
export class Tab {
  /** Whether it is to be connected. */
  wanted = true;
  readonly #host: TabHost;
  readonly #jar: Jar;
  readonly #node: number;
  readonly #random: Random;
  readonly #name: string;
  #connection: FakeConnection | undefined;
  #owner: SimulatedNode | undefined;
  #connected = false;

  constructor(
    host: TabHost,
    jar: Jar,
    node: number,
    seed: number,
    name: string,
  ) {
    this.#host = host;
    this.#jar = jar;
    this.#node = node;
    this.#random = new Random("tab", seed, name);
    this.#name = name;
    this.connect();
  }

  /** Whether events can be sent. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Opens a connection with the cookies of now. */
  connect(): void {
    if (this.#connection || !this.wanted) return;
    const node = this.#host.nodeAt(this.#node);
    if (!node) return this.#reconnect();
    const { header } = this.#jar;
    const context = this.#contextOf(node);
    this.#host.journal.log(() => `${this.#name} connects to ${node.name}`);
    // a connection that gets no answer is tried again
    let answered = false;
    this.#host.clock.plan(3_000, () => {
      if (!answered) this.#reconnect();
    });
    this.#host.clock.post(latency(this.#random), context, () => {
      answered = true;
      if (this.#connection || !this.wanted) return;
      this.#owner = node;
      const connection: FakeConnection = this.#connection = node.accept(
        header,
        {
          received: (packet) => this.#received(connection, packet),
          closed: () => this.#closed(connection),
          later: (run) => {
            const delay = this.#random.chance(0.2)
              ? this.#random.integer(1_000, 5_000)
              : latency(this.#random);
            this.#host.clock.post(delay, context, run);
          },
        },
      );
      connection.emit("data", "0");
    });
  }

  /** Closes the connection, and opens no other. */
  disconnect(): void {
    this.wanted = false;
    const connection = this.#connection;
    if (!connection) return;
    const context = this.#contextOf(this.#owner!);
    this.#host.clock.post(
      latency(this.#random),
      context,
      () => connection.end("transport close"),
    );
  }

  /** Sends an event. */
  send(id: number, random: Random, chaos: number): void {
    const connection = this.#connection;
    if (!connection || !this.#connected) return;
    const { actor } = this.#owner!;
    this.#host.clock.post(latency(random), { actor, random, chaos }, () => {
      if (connection.readyState !== "open") return;
      connection.emit("data", `2${JSON.stringify(["entry", id])}`);
    });
  }

  /** The node of the connection has died. */
  lost(node: SimulatedNode): void {
    if (this.#owner !== node || !this.#connection) return;
    this.#connection.readyState = "closed";
    this.#closed(this.#connection);
  }

  #contextOf({ actor }: SimulatedNode): Context {
    return { actor, random: this.#random, chaos: 0 };
  }

  #received(connection: FakeConnection, packet: string): void {
    if (connection !== this.#connection) return;
    this.#host.journal.log(() => `${this.#name} receives ${packet}`);
    if (packet[0] === "0") this.#connected = true;
    // the server has disconnected it, or refused its handshake: it does not come back by itself
    else if (packet[0] === "1" || packet[0] === "4") this.wanted = false;
  }

  #closed(connection: FakeConnection): void {
    if (connection !== this.#connection) return;
    this.#host.journal.log(() => `${this.#name} is closed`);
    this.#connection = this.#owner = undefined;
    this.#connected = false;
    if (this.wanted) this.#reconnect();
  }

  #reconnect(): void {
    const delay = this.#random.integer(500, 1_500);
    this.#host.clock.plan(delay, () => this.connect());
  }
}
