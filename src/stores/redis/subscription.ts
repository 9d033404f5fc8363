/**
 * The channel on which a store is told whose turn it is.
 *
 * @module
 */
import type { Connection, Subscriber } from "./client.ts";

/** How long a lost subscriber may try to come back before another is made, in ms. */
const STALE_MS = 5_000;

/** The one channel of a store, on a connection of its own. */
export class Inbox {
  readonly #connection: Connection;
  readonly #channel: string;
  readonly #hear: (message: string) => void;
  readonly #caughtUp: () => void;
  #subscriber: Subscriber | undefined;
  #subscribed = false;
  #listening = false;
  #since = 0;
  #opening: { resolve: () => void; reject: (error: unknown) => void }[] = [];

  /**
   * @param hear is given each message
   * @param caughtUp is called when messages are heard (again): some may have been missed
   */
  constructor(
    connection: Connection,
    channel: string,
    hear: (message: string) => void,
    caughtUp: () => void,
  ) {
    this.#connection = connection;
    this.#channel = channel;
    this.#hear = hear;
    this.#caughtUp = caughtUp;
  }

  /** Whether messages are heard. */
  get ready(): boolean {
    return this.#subscribed && this.#subscriber?.connected() === true;
  }

  /** Until messages are heard; rejects when Redis, or the client, will not have it. */
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
      const subscriber = this.#connection.subscriber(this.#channel, this.#hear);
      this.#subscriber = subscriber;
      this.#since = performance.now();
      // an error event that nobody listens to would end the process
      subscriber.on("error", () => {});
      subscriber.on("ready", () => this.#listen(subscriber));
      for (const event of ["reconnecting", "close", "end"]) {
        subscriber.on(
          event,
          () => this.#subscriber === subscriber && this.#lost(),
        );
      }
      subscriber.connect().then(
        () => this.#listen(subscriber),
        (error) => this.#fail(subscriber, error),
      );
    } catch (error) {
      this.#drop(error);
    }
  }

  #listen(subscriber: Subscriber): void {
    if (
      this.#subscriber !== subscriber || this.#subscribed || this.#listening
    ) return;
    this.#listening = true;
    subscriber.subscribe().then(() => {
      if (this.#subscriber !== subscriber) return;
      this.#listening = false;
      this.#subscribed = true;
      for (const { resolve } of this.#opening.splice(0)) resolve();
      this.#caughtUp();
    }, (error) => this.#fail(subscriber, error));
  }

  #lost(): void {
    this.#subscribed = false;
    this.#listening = false;
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
