/**
 * Those of this process who wait for sessions, in a line that Redis keeps for
 * all processes.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type { AcquireResult } from "../../api/store.ts";
import { Inbox } from "./subscription.ts";
import { decode, whole } from "./record.ts";
import { ACQUIRE, LEAVE } from "./scripts.ts";
import type { Space } from "./keys.ts";
import { type News, Waiter } from "./waiter.ts";

/** How long an answer is waited for, were it only that others hold the session, in ms. */
const ANSWER_MS = 5_000;

/** One channel, opened when a session is first asked for, and who waits for what comes there. */
export class Queue {
  /** Names this process's end of the channel. */
  readonly node: string = randomBytes(12).toString("base64url");
  readonly #space: Space;
  readonly #inbox: Inbox;
  readonly #waiters = new Map<string, Waiter>();
  #closed = false;

  constructor(space: Space) {
    this.#space = space;
    this.#inbox = new Inbox(
      space.connection,
      space.channels + this.node,
      (message) => this.#hear(message),
      () => this.#waiters.forEach((waiter) => waiter.doubt()),
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
    // Before it asks: being told may overtake the answer.
    const waiter = new Waiter();
    this.#waiters.set(holder, waiter);
    try {
      return await this.#wait(waiter, sid, holder, holdMs, deadline);
    } finally {
      this.#waiters.delete(holder);
      if (waiter.traces) this.leave(sid, holder);
    }
  }

  async #wait(
    waiter: Waiter,
    sid: string,
    holder: string,
    holdMs: number,
    deadline: number,
  ): Promise<AcquireResult> {
    for (let turn = 0;; turn++) {
      const wait = deadline - performance.now();
      const opening = this.#inbox.open();
      opening.catch(() => {}); // of interest to those only who have to wait
      // Who cannot hear must not be handed anything; who has no time left asks a last time.
      const queue = wait > 0 && this.#inbox.ready;
      const request = this.#space.run(ACQUIRE, this.#keys(sid), [
        ...this.#space.teller(sid),
        holder,
        this.node,
        whole(holdMs),
        queue ? whole(wait) : "0",
        turn > 0 ? "1" : "0",
      ]);
      const reply = await waiter.ask(request, ANSWER_MS, queue);
      if (waiter.news) return waiter.news;
      if (!reply) {
        throw new Error("Cannot lock the session as Redis does not answer");
      }
      const answer = read(reply, turn > 0);
      if (typeof answer !== "number") return waiter.settle(answer);
      if (wait <= 0) return { status: "timeout" };
      const rest = Math.max(deadline - performance.now(), 0);
      await waiter.pause(
        Math.min(answer + 1, rest),
        queue ? undefined : opening,
      );
      if (waiter.news) return waiter.news;
    }
  }

  /** Leaves the line, or gives back what was granted too late. */
  leave(sid: string, holder: string): void {
    const args = [...this.#space.teller(sid), holder];
    // If this fails, the lease ends by itself.
    this.#space.run(LEAVE, this.#keys(sid), args).catch(() => {});
  }

  /** Refuses all who wait. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiter of this.#waiters.values()) waiter.stop(closedError());
    await this.#inbox.close();
  }

  #keys(sid: string): readonly string[] {
    return [this.#space.key("s", sid), this.#space.key("w", sid)];
  }

  #hear(message: string): void {
    try {
      this.#deliver(message);
    } catch {
      // Not from a store of ours, and no reason for the process to end.
    }
  }

  #deliver(message: string): void {
    const [kind, holder = "", sid = "", ...fields] = cut(message, 8);
    const waiter = this.#waiters.get(holder);
    if (kind === "m") waiter?.tell({ status: "missing", waited: true });
    else if (kind === "a" && waiter) waiter.doubt();
    else if (waiter) {
      waiter.tell({ status: "granted", record: decode(fields)! });
    } else this.leave(JSON.parse(sid) as string, holder);
  }
}

/** The lease, or for how long others hold it, in ms. */
function read(
  [status, ...fields]: readonly unknown[],
  waited: boolean,
): News | number {
  if (String(status) === "w") return Number(fields[0]);
  if (String(status) === "m") return { status: "missing", waited };
  return { status: "granted", record: decode(fields)! };
}

/** The first lines of a text, and the rest of it. */
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
