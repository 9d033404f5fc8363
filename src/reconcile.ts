/**
 * Messages may be lost, and a store may have been away: from time to time each
 * node holds what it believes of its live sessions against the store.
 *
 * @module
 */
import type { Client, Clients, Known } from "./clients.ts";
import { unref } from "./expiry.ts";
import type { SharedStore } from "./store.ts";

/** How many sessions are asked for in one go. */
const BATCH = 500;

/** How soon to look again when the store was away, in ms. */
const RETRY = 1_000;

/** What to do about what was found. */
export interface Findings<Socket> {
  /** The store does not have this session any more. */
  gone(known: Known): Promise<void>;
  /** This client has sockets and no session, as far as is known here. */
  guest(client: Client<Socket>): Promise<void>;
  failed(error: unknown): void;
}

/** See the module's text. */
export class Reconciler<Socket> {
  readonly #store: SharedStore;
  readonly #clients: Clients<Socket>;
  readonly #interval: number;
  readonly #findings: Findings<Socket>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;
  #closed = false;

  /** @param interval how long a lost message may go unnoticed, in ms */
  constructor(
    store: SharedStore,
    clients: Clients<Socket>,
    interval: number,
    findings: Findings<Socket>,
  ) {
    this.#store = store;
    this.#clients = clients;
    this.#interval = interval;
    this.#findings = findings;
    this.#next(this.#jittered());
  }

  /** The store failed: what is believed is to be looked at as soon as it is back. */
  soon(): void {
    if (!this.#running) this.#next(Math.min(RETRY, this.#interval));
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** Nodes that were started together shall not ask together; none asks late. */
  #jittered(): number {
    return this.#interval * (0.7 + 0.2 * Math.random());
  }

  #next(delay: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#run(), delay);
    unref(this.#timer);
  }

  async #run(): Promise<void> {
    this.#running = true;
    let delay = this.#jittered();
    try {
      await this.#look();
    } catch (error) {
      delay = Math.min(RETRY, this.#interval);
      this.#findings.failed(error);
    } finally {
      this.#running = false;
      this.#next(delay);
    }
  }

  async #look(): Promise<void> {
    const followed: Known[] = [];
    const guests: Client<Socket>[] = [];
    for (const client of this.#clients.all()) {
      if (client.session) followed.push(client.session);
      else guests.push(client);
    }
    for (let i = 0; i < followed.length && !this.#closed; i += BATCH) {
      const batch = followed.slice(i, i + BATCH);
      const versions = await this.#store.versions(batch.map(({ sid }) => sid));
      const gone = batch.filter((_, at) => versions[at] === undefined);
      for (const known of gone) await this.#findings.gone(known);
    }
    for (let i = 0; i < guests.length && !this.#closed; i += BATCH) {
      const batch = guests.slice(i, i + BATCH);
      await Promise.all(batch.map((client) => this.#findings.guest(client)));
    }
  }
}
