/**
 * Reconciliation: each node compares its live sessions with the store at
 * intervals, as messages may be lost and the store may have been down.
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

/** Sessions compared in one store call. */
const BATCH = 500;

/** Brings single sessions and clients in step with the store. */
export interface ReconcileHandlers {
  /** The store has another version of this session than before, or none. */
  resync(session: TrackedSession): Promise<void>;
  /** This client has sockets and no session in this node's registry. */
  resyncClient(client: TrackedClient): Promise<void>;
}

/** Intervals of the reconciliation, in ms. */
export interface ReconcileTimes {
  /** How long a lost message may go unnoticed. */
  readonly reconcileInterval: number;
  readonly storeTimeout: number;
}

/** Compares live sessions with the store. */
export class Reconciler {
  readonly #store: SharedStore;
  readonly #registry: SessionRegistry;
  readonly #interval: number;
  readonly #storeTimeout: number;
  readonly #handlers: ReconcileHandlers;
  readonly #failed: (error: unknown) => void;
  /** The version that was compared last. */
  readonly #seen = new WeakMap<TrackedSession, Version>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #at = Infinity;
  #running = false;
  #closed = false;

  constructor(
    store: SharedStore,
    registry: SessionRegistry,
    times: ReconcileTimes,
    handlers: ReconcileHandlers,
    failed: (error: unknown) => void,
  ) {
    this.#store = store;
    this.#registry = registry;
    this.#interval = times.reconcileInterval;
    this.#storeTimeout = times.storeTimeout;
    this.#handlers = handlers;
    this.#failed = failed;
    this.#next(this.#jittered());
  }

  /** Compares soon: the store failed, and may have lost sessions. */
  runSoon(): void {
    const delay = Math.min(RETRY, this.#interval);
    // repeated failures must not postpone it
    if (!this.#running && Date.now() + delay < this.#at) this.#next(delay);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** Spreads nodes that were started at the same time; the interval is not exceeded. */
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
      await this.#compareAll();
    } catch (error) {
      delay = Math.min(RETRY, this.#interval);
      this.#failed(error);
    } finally {
      this.#running = false;
      this.#next(delay);
    }
  }

  async #compareAll(): Promise<void> {
    const followed: TrackedSession[] = [];
    const guests: TrackedClient[] = [];
    for (const client of this.#registry.allClients()) {
      if (client.session) followed.push(client.session);
      else guests.push(client);
    }
    for (let i = 0; i < followed.length && !this.#closed; i += BATCH) {
      await this.#compare(followed.slice(i, i + BATCH));
    }
    for (let i = 0; i < guests.length && !this.#closed; i += BATCH) {
      const batch = guests.slice(i, i + BATCH);
      await Promise.all(
        batch.map((client) => this.#handlers.resyncClient(client)),
      );
    }
  }

  async #compare(batch: readonly TrackedSession[]): Promise<void> {
    const reading = this.#store.versions(batch.map(({ sid }) => sid));
    const versions = await withTimeout(reading, "read", this.#storeTimeout);
    await Promise.all(batch.map(async (session, i) => {
      const version = versions[i];
      if (version !== undefined && this.#seen.get(session) === version) return;
      await this.#handlers.resync(session);
      if (version !== undefined) this.#seen.set(session, version);
    }));
  }
}
