/**
 * A second connection of node-redis. Its client can only be disconnected
 * between two attempts to connect: an attempt that is under way then goes on,
 * and its socket stays open for ever.
 *
 * @module
 */
import { waitAtMost } from "../../base/async.ts";
import type { NodeRedisSubscriber } from "./client.ts";

/** How long the end of a second connection is waited for, in ms. */
export const CLOSING_MS = 5_000;

/** The end of an attempt to connect. */
interface Attempt {
  readonly over: Promise<void>;
  end(): void;
}

/** Connects a client of node-redis, and disconnects it at a moment when that has an effect. */
export class Duplicate {
  readonly #client: NodeRedisSubscriber;
  readonly #cluster: boolean;
  readonly #channel: string;
  readonly #onMessage: (message: string) => void;
  /** Under way: to connect, or in a cluster to reach the node that is subscribed at. */
  #attempt: Attempt | undefined;

  /** @param cluster whether the client is one of a cluster, whose events are those of its nodes */
  constructor(
    client: NodeRedisSubscriber,
    cluster: boolean,
    channel: string,
    onMessage: (message: string) => void,
  ) {
    this.#client = client;
    this.#cluster = cluster;
    this.#channel = channel;
    this.#onMessage = onMessage;
    if (cluster) return;
    client.on("reconnecting", () => {
      // node-redis 4.6 emits it after a successful attempt too
      if (!("isReady" in client && client.isReady)) this.#begin();
    });
    client.on("connect", () => this.#attempt?.end());
    client.on("error", () => this.#attempt?.end());
  }

  on(event: string, listener: (...args: unknown[]) => void): void {
    this.#client.on(event, listener);
  }

  connect(): Promise<unknown> {
    return this.#attempted(() => this.#client.connect());
  }

  subscribe(): Promise<unknown> {
    const subscribe = () =>
      this.#client.subscribe(
        this.#channel,
        (message) => this.#onMessage(String(message)),
      );
    // a cluster connects to the node that it subscribes at
    return this.#cluster ? this.#attempted(subscribe) : subscribe();
  }

  /** The clusters of some versions do not report it: they count as connected. */
  connected(): boolean {
    return !("isReady" in this.#client) || this.#client.isReady !== false;
  }

  async disconnect(): Promise<void> {
    await waitAtMost(this.#idle(), CLOSING_MS);
    try {
      await this.#client.disconnect();
    } catch {
      // throws or rejects, depending on the version, when there is no connection
    }
  }

  /** Resolves when no attempt is under way. */
  async #idle(): Promise<void> {
    // another one may follow at once
    while (this.#attempt) await this.#attempt.over;
  }

  async #attempted(act: () => Promise<unknown>): Promise<unknown> {
    const attempt = this.#begin();
    try {
      return await act();
    } finally {
      attempt.end();
    }
  }

  #begin(): Attempt {
    this.#attempt?.end();
    let resolve: () => void;
    const over = new Promise<void>((resolved) => resolve = resolved);
    const attempt: Attempt = {
      over,
      end: () => {
        if (this.#attempt === attempt) this.#attempt = undefined;
        resolve();
      },
    };
    return this.#attempt = attempt;
  }
}
