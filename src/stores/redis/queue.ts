/**
 * This process's waiters for sessions, in queues that Redis keeps for all
 * processes.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type { AcquireResult } from "../../api/store.ts";
import { grantName, type Grants, tokenOf } from "./grants.ts";
import { Subscription } from "./subscription.ts";
import { decode, whole } from "./record.ts";
import { ACQUIRE, LEAVE } from "./scripts.ts";
import type { Keyspace } from "./keys.ts";
import { Waiter, type WaitResult } from "./waiter.ts";

/** How long Redis may take for an answer, in ms. */
const ANSWER_MS = 5_000;

/** The waiters of this process, and the channel on which they receive their leases, opened on first use. */
export class Queue {
  /** The random name of this process, and of its channel. */
  readonly node: string = randomBytes(12).toString("base64url");
  readonly #keyspace: Keyspace;
  readonly #subscription: Subscription;
  readonly #grants: Grants;
  readonly #waiters = new Map<string, Waiter>();
  #closed = false;

  constructor(keyspace: Keyspace, grants: Grants) {
    this.#keyspace = keyspace;
    this.#grants = grants;
    this.#subscription = new Subscription(
      keyspace.connection,
      keyspace.channels + this.node,
      (message) => this.#onMessage(message),
      () => this.#waiters.forEach((waiter) => waiter.askAgain()),
    );
  }

  /** See {@linkcode SharedStore.acquire}; `holder` is the token without white space. */
  async acquire(
    sid: string,
    holder: string,
    holdMs: number,
    waitMs: number,
  ): Promise<AcquireResult> {
    if (this.#closed) throw closedError();
    const deadline = performance.now() + waitMs;
    // Registered before the request: a message may overtake its answer.
    const waiter = new Waiter();
    this.#waiters.set(holder, waiter);
    try {
      const acquired = await this.#wait(waiter, sid, holder, holdMs, deadline);
      if (acquired.status !== "granted") return acquired;
      this.#grants.add(holder, waiter.grant, acquired.record);
      return waiter.waited ? { ...acquired, waited: true } : acquired;
    } finally {
      waiter.over = true;
      this.#waiters.delete(holder);
      if (waiter.mayBeQueued) this.#leave(sid, holder);
    }
  }

  async #wait(
    waiter: Waiter,
    sid: string,
    holder: string,
    holdMs: number,
    deadline: number,
  ): Promise<AcquireResult> {
    for (let attempt = 0;; attempt++) {
      const wait = deadline - performance.now();
      const opening = this.#subscription.open();
      opening.catch(() => {}); // of interest only if it has to wait
      // Without a subscription it must not be queued; without time left it asks a last time.
      const queue = wait > 0 && this.#subscription.ready;
      // From here on, a message for an earlier request is out of date.
      const grant = waiter.grant = grantName(holder, attempt);
      const request = this.#keyspace.run(
        ACQUIRE,
        this.#keyspace.leaseKeys(sid),
        [
          ...this.#keyspace.publishArgs(sid),
          holder,
          grant,
          this.node,
          whole(holdMs),
          queue ? whole(wait) : "0",
        ],
      );
      request.then(
        (reply) => this.#replied(waiter, sid, holder, grant, reply),
        () => {},
      );
      const reply = await waiter.ask(request, ANSWER_MS, queue);
      if (waiter.result) return waiter.result;
      if (!reply) {
        throw new Error("Cannot lock the session as Redis does not answer");
      }
      const answer = read(reply, attempt > 0);
      if (typeof answer !== "number") return waiter.settle(answer);
      if (wait <= 0) return { status: "timeout" };
      waiter.waited = true;
      const rest = Math.max(deadline - performance.now(), 0);
      await waiter.pause(
        Math.min(answer + 1, rest),
        queue ? undefined : opening,
      );
      if (waiter.result) return waiter.result;
    }
  }

  /** Undoes what a request did whose call is over: its client sent it late, or twice. */
  #replied(
    waiter: Waiter,
    sid: string,
    holder: string,
    grant: string,
    [status]: readonly unknown[],
  ): void {
    if (!waiter.over || this.#grants.has(holder, grant)) return;
    if (String(status) === "g") this.#leave(sid, holder, grant);
    else if (String(status) === "w" && !waiter.result) this.#leave(sid, holder);
  }

  /**
   * Leaves the queue, and releases a lease that was granted too late.
   *
   * @param grant leaves the queue as it is, and releases this grant only
   */
  #leave(sid: string, holder: string, grant = ""): void {
    const args = [...this.#keyspace.publishArgs(sid), holder, grant];
    // If this fails, the lease expires.
    this.#keyspace.run(LEAVE, this.#keyspace.leaseKeys(sid), args)
      .catch(() => {});
  }

  /** Rejects all waiters. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiter of this.#waiters.values()) waiter.stop(closedError());
    await this.#subscription.close();
  }

  #onMessage(message: string): void {
    try {
      this.#deliver(message);
    } catch {
      // A foreign message must not end the process.
    }
  }

  #deliver(message: string): void {
    const [kind, grant = "", sid = "", ...fields] = cut(message, 9);
    const holder = tokenOf(grant);
    const waiter = this.#waiters.get(holder);
    if (waiter) {
      // the request that is under way replaces whatever an earlier one was granted
      if (waiter.grant !== grant || waiter.over) return;
      if (kind === "m") waiter.deliver({ status: "missing", waited: true });
      else if (kind === "a") waiter.askAgain();
      else waiter.deliver({ status: "granted", record: decode(fields)! });
    } else if (kind === "g" && !this.#grants.has(holder, grant)) {
      this.#leave(JSON.parse(sid) as string, holder, grant);
    }
  }
}

/** The result, or for how long the lease is held by another, in ms. */
function read(
  [status, ...fields]: readonly unknown[],
  waited: boolean,
): WaitResult | number {
  if (String(status) === "w") return Number(fields[0]);
  if (String(status) === "m") return { status: "missing", waited };
  return { status: "granted", record: decode(fields)! };
}

/** Splits a text into its first lines and the rest. */
function cut(text: string, parts: number): readonly string[] {
  const lines: string[] = [];
  let from = 0;
  while (lines.length < parts - 1) {
    const end = text.indexOf("\n", from);
    if (end < 0) break;
    lines.push(text.slice(from, end));
    from = end + 1;
  }
  return [...lines, text.slice(from)];
}

function closedError(): Error {
  return new Error("Cannot lock the session as the store is closed");
}
