/**
 * The connection on which a store receives the notifications for its waiters.
 *
 * @module
 */
import { newClient, type PostgresClient, type PostgresPool } from "./pool.ts";

/** How long a notification to itself may take before the connection counts as deaf, in ms. */
const PROOF_MS = 3_000;

/** The pause between proofs that notifications still arrive, in ms. */
const PROOF_INTERVAL = 1_000;

/** The pauses between attempts to connect, in ms: they grow from the first to the second. */
const RETRY_MS = [500, 30_000] as const;

/** How long the connection may take to close, in ms. */
const CLOSING_MS = 500;

interface Notification {
  readonly payload?: string | undefined;
}

/**
 * A `LISTEN` on one channel, opened on demand. It is used once a notification
 * sent through the pool has arrived: a pooler may accept `LISTEN` and deliver
 * nothing.
 */
export class Listener {
  readonly #pool: PostgresPool;
  readonly #channel: string;
  readonly #onMessage: (payload: string) => void;
  #client: PostgresClient | undefined;
  #isListening = false;
  #isProven = false;
  /** Since when a notification to itself is expected. */
  #expectedSince: number | undefined;
  #lastProof = 0;
  #nextTry = 0;
  #retry: number = RETRY_MS[0];

  /**
   * @param channel its name, without quotes in it
   * @param onMessage is called with each payload but the empty one, which is the proof
   */
  constructor(
    pool: PostgresPool,
    channel: string,
    onMessage: (payload: string) => void,
  ) {
    this.#pool = pool;
    this.#channel = channel;
    this.#onMessage = onMessage;
  }

  /** Whether notifications arrive. */
  get ready(): boolean {
    return this.#isProven;
  }

  /**
   * Opens the connection, or closes one that has become deaf. Called from time
   * to time while there are waiters.
   *
   * @returns whether a notification to itself is to be sent
   */
  maintain(): boolean {
    const now = performance.now();
    if (
      this.#expectedSince !== undefined && now - this.#expectedSince > PROOF_MS
    ) {
      this.#drop(RETRY_MS[1]);
    }
    if (!this.#client) {
      if (now >= this.#nextTry) this.#open();
      return false;
    }
    const isDue = this.#isListening &&
      (!this.#isProven || now - this.#lastProof > PROOF_INTERVAL);
    if (isDue) {
      this.#lastProof = now;
      this.#expectedSince ??= now;
    }
    return isDue;
  }

  /** Closes the connection. */
  async close(): Promise<void> {
    this.#nextTry = Infinity;
    await this.#drop(Infinity);
  }

  #newClient(): PostgresClient | undefined {
    try {
      return newClient(this.#pool);
    } catch {
      // as if there were no class of clients
      return undefined;
    }
  }

  #open(): void {
    const client = this.#newClient();
    if (!client) {
      this.#nextTry = Infinity;
      return;
    }
    this.#client = client;
    const lost = () => {
      if (this.#client === client) void this.#drop();
    };
    // an error event without a listener would end the process
    client.on("error", lost);
    client.on("end", lost);
    client.on("notification", (message: Notification) => {
      if (this.#client === client) this.#receive(message.payload ?? "");
    });
    client.connect()
      .then(() => client.query({ text: `LISTEN "${this.#channel}"` }))
      .then(() => {
        client.unref?.();
        if (this.#client === client) this.#isListening = true;
      })
      .catch(lost);
  }

  #receive(payload: string): void {
    this.#isProven = true;
    this.#expectedSince = undefined;
    this.#retry = RETRY_MS[0];
    if (payload !== "") this.#onMessage(payload);
  }

  async #drop(retry = this.#retry): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    this.#isListening = this.#isProven = false;
    this.#expectedSince = undefined;
    this.#nextTry = performance.now() + retry;
    this.#retry = Math.min(this.#retry * 2, RETRY_MS[1]);
    if (!client) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        // the server does not answer
        client.connection?.stream?.destroy?.();
        resolve();
      }, CLOSING_MS);
    });
    await Promise.race([client.end().catch(() => {}), limit]);
    clearTimeout(timer);
  }
}
