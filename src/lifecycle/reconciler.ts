/**
 * Messages may be lost, and a store may have been away: from time to time each
 * node holds what it believes of its live sessions against the store.
 *
 * @module
 */
import type {
  SessionRegistry,
  TrackedClient,
  TrackedSession,
} from "../identity/registry.ts";
import { unref } from "../base/expiry_heap.ts";
import { withTimeout } from "../base/async.ts";
import { RETRY } from "../base/timers.ts";
import type { SharedStore, Version } from "../api/store.ts";

/** How many sessions are asked for in one go. */
const BATCH = 500;

/** How long the store may take for an answer, in ms. */
const STORE_TIMEOUT = 5_000;

/** What to do about what was found. */
export interface ReconcileHandlers<Socket> {
  /** The store shows nothing of this session any more, or another version than before. */
  gone(known: TrackedSession): Promise<void>;
  /** This client has sockets and no session, as far as is known here. */
  guest(client: TrackedClient<Socket>): Promise<void>;
  failed(error: unknown): void;
}

/** See the module's text. */
export class Reconciler<Socket> {
  readonly #store: SharedStore;
  readonly #clients: SessionRegistry<Socket>;
  readonly #interval: number;
  readonly #findings: ReconcileHandlers<Socket>;
  /** The version that was looked at last. */
  readonly #seen = new WeakMap<TrackedSession, Version>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #at = Infinity;
  #running = false;
  #closed = false;

  /** @param interval how long a lost message may go unnoticed, in ms */
  constructor(
    store: SharedStore,
    clients: SessionRegistry<Socket>,
    interval: number,
    findings: ReconcileHandlers<Socket>,
  ) {
    this.#store = store;
    this.#clients = clients;
    this.#interval = interval;
    this.#findings = findings;
    this.#next(this.#jittered());
  }

  /** The store failed: what is believed is to be looked at as soon as it is back. */
  runSoon(): void {
    const delay = Math.min(RETRY, this.#interval);
    // who fails again and again must not put it off again and again
    if (!this.#running && Date.now() + delay < this.#at) this.#next(delay);
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
    this.#at = Date.now() + delay;
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
    const followed: TrackedSession[] = [];
    const guests: TrackedClient<Socket>[] = [];
    for (const client of this.#clients.allClients()) {
      if (client.session) followed.push(client.session);
      else guests.push(client);
    }
    for (let i = 0; i < followed.length && !this.#closed; i += BATCH) {
      await this.#compare(followed.slice(i, i + BATCH));
    }
    for (let i = 0; i < guests.length && !this.#closed; i += BATCH) {
      const batch = guests.slice(i, i + BATCH);
      await Promise.all(batch.map((client) => this.#findings.guest(client)));
    }
  }

  async #compare(batch: readonly TrackedSession[]): Promise<void> {
    const asked = this.#store.versions(batch.map(({ sid }) => sid));
    // a store that never answers must not end the looking for good
    const versions = await withTimeout(asked, "read", STORE_TIMEOUT);
    await Promise.all(batch.map(async (known, i) => {
      const version = versions[i];
      if (version !== undefined && this.#seen.get(known) === version) return;
      await this.#findings.gone(known);
      if (version !== undefined) this.#seen.set(known, version);
    }));
  }
}
