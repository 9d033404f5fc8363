/**
 * The subscription to the channel on which waiters receive their leases.
 *
 * @module
 */
import type { Connection, Subscriber } from "./client.ts";

/** How long a disconnected subscriber may try to reconnect before another is created, in ms. */
const STALE_MS = 5_000;

/** The one channel of a store, on a connection of its own. It is opened on demand. */
export class Subscription {
  readonly #connection: Connection;
  readonly #channel: string;
  readonly #onMessage: (message: string) => void;
  readonly #onSubscribed: () => void;
  #subscriber: Subscriber | undefined;
  #subscribed = false;
  #subscribing = false;
  #since = 0;
  #opening: { resolve: () => void; reject: (error: unknown) => void }[] = [];

  /**
   * @param onMessage is called with each message
   * @param onSubscribed is called after each (re)subscription: messages may have been missed
   */
  constructor(
    connection: Connection,
    channel: string,
    onMessage: (message: string) => void,
    onSubscribed: () => void,
  ) {
    this.#connection = connection;
    this.#channel = channel;
    this.#onMessage = onMessage;
    this.#onSubscribed = onSubscribed;
  }

  /** Whether messages are received. */
  get ready(): boolean {
    return this.#subscribed && this.#subscriber?.connected() === true;
  }

  /** Resolves when messages are received; rejects when Redis or the client refuses. */
  open(): Promise<void> {
    if (this.ready) return Promise.resolve();
    if (this.#subscribed) this.#lost();
    if (this.#subscriber && performance.now() - this.#since > STALE_MS) {
      this.#drop(new Error("Cannot subscribe as Redis does not answer"));
    }
    return new Promise((resolve, reject) => {
      this.#opening.push({ resolve, reject });
      if (!this.#subscriber) this.#start();
    });
  }

  /** Closes the connection. */
  async close(): Promise<void> {
    await this.#drop(new Error("Cannot subscribe as the store is closed"));
  }

  #start(): void {
    try {
      const subscriber = this.#connection.subscriber(
        this.#channel,
        this.#onMessage,
      );
      this.#subscriber = subscriber;
      this.#since = performance.now();
      // an error event without a listener would end the process
      subscriber.on("error", () => {});
      subscriber.on("ready", () => this.#subscribe(subscriber));
      for (const event of ["reconnecting", "close", "end"]) {
        subscriber.on(
          event,
          () => this.#subscriber === subscriber && this.#lost(),
        );
      }
      subscriber.connect().then(
        () => this.#subscribe(subscriber),
        (error) => this.#fail(subscriber, error),
      );
    } catch (error) {
      this.#drop(error);
    }
  }

  #subscribe(subscriber: Subscriber): void {
    if (
      this.#subscriber !== subscriber || this.#subscribed || this.#subscribing
    ) return;
    this.#subscribing = true;
    subscriber.subscribe().then(() => {
      if (this.#subscriber !== subscriber) return;
      this.#subscribing = false;
      this.#subscribed = true;
      for (const { resolve } of this.#opening.splice(0)) resolve();
      this.#onSubscribed();
    }, (error) => this.#fail(subscriber, error));
  }

  #lost(): void {
    this.#subscribed = false;
    this.#subscribing = false;
    this.#since = performance.now();
  }

  #fail(subscriber: Subscriber, error: unknown): void {
    if (this.#subscriber === subscriber) this.#drop(error);
  }

  async #drop(error: unknown): Promise<void> {
    this.#lost();
    const subscriber = this.#subscriber;
    this.#subscriber = undefined;
    for (const { reject } of this.#opening.splice(0)) reject(error);
    await subscriber?.disconnect();
  }
}
