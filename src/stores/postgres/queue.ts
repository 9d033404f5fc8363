/**
 * This process's waiters for sessions, in queues that the sessions' rows hold
 * for all processes.
 *
 * @module
 */
import type { AcquireResult } from "../../api/store.ts";
import { unref } from "../../base/expiry_heap.ts";
import { generateUid } from "../../base/ids.ts";
import { toColumn } from "../../base/text_column.ts";
import { pause } from "../../base/timers.ts";
import type { Database, TextRow } from "./database.ts";
import { Listener } from "./listener.ts";
import { decode, type Row } from "./record.ts";
import { CHANNEL, SKIP_MS, type Statements } from "./statements.ts";
import { Waiter } from "./waiter.ts";

/** How long PostgreSQL may take for an answer, in ms. */
const ANSWER_MS = 5_000;

/** The pauses between polls without notifications, in ms: they grow from the first to the second. */
const POLL = [5, 100] as const;

/** The pause between polls with notifications, in ms: only the first waiter is notified, and it may be dead. */
const SLOW_POLL = 250;

/** A row of the statement `acquire`. */
type Acquired = Row & {
  /** Not there if it was taken without a wait. */
  readonly granted?: string;
  readonly rest: string;
  readonly birth: string;
};

/** The waiters of this process. */
export class Queue {
  /** The random name of this process, and of its channel. */
  readonly node: string = generateUid();
  readonly #db: Database;
  readonly #sql: Statements;
  readonly #listener: Listener | undefined;
  /** By the number of their entries. */
  readonly #waiters = new Map<string, Waiter>();
  readonly #leaving = new Set<Promise<unknown>>();
  #entries = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pause: number = POLL[0];
  /** When the timer fires. */
  #due = 0;
  #isPolling = false;
  #closed = false;

  constructor(db: Database, sql: Statements, listen: boolean) {
    this.#db = db;
    this.#sql = sql;
    if (listen) {
      this.#listener = new Listener(
        db.pool,
        CHANNEL + this.node,
        (number) => this.#onMessage(number),
      );
    }
  }

  /** See {@linkcode SharedStore.acquire}. */
  async acquire(
    sid: string,
    token: string,
    holdMs: number,
    waitMs: number,
  ): Promise<AcquireResult> {
    if (this.#closed) throw closedError();
    // registered before the request: a notification may overtake its answer
    const number = String(++this.#entries);
    const waiter = new Waiter(sid);
    this.#waiters.set(number, waiter);
    let acquired: AcquireResult | undefined;
    try {
      acquired = await this.#wait(waiter, number, token, holdMs, waitMs);
      return acquired;
    } finally {
      this.#waiters.delete(number);
      waiter.clear();
      if (this.#waiters.size === 0) this.#stopPolling();
      else this.#hasten();
      const isLeft = acquired?.status === "granted" ||
        acquired?.status === "missing" || waiter.birth === undefined;
      if (!isLeft) this.#leave(sid, token, number);
    }
  }

  async #wait(
    waiter: Waiter,
    number: string,
    token: string,
    holdMs: number,
    waitMs: number,
  ): Promise<AcquireResult> {
    const deadline = performance.now() + waitMs;
    for (let left = waitMs;; left = deadline - performance.now()) {
      const { birth } = waiter;
      // without time left it asks a last time: the lease may just be overdue
      const row = await this.#ask(waiter, number, token, holdMs, left > 0);
      if (!row) return { status: "missing", waited: birth !== undefined };
      if (row.granted !== "f") {
        return { status: "granted", record: decode(row) };
      }
      if (left <= 0) return { status: "timeout" };
      waiter.birth = row.birth;
      this.#schedule();
      const rest = Math.max(Number(row.rest), 0) + 1;
      await waiter.pause(
        Math.min(rest, Math.max(deadline - performance.now(), 0)),
      );
    }
  }

  /** Takes the lease, or queues. */
  #ask(
    waiter: Waiter,
    number: string,
    token: string,
    holdMs: number,
    mayQueue: boolean,
  ): Promise<Acquired | undefined> {
    const { sid, birth } = waiter;
    const queue = () =>
      this.#db.first<Acquired>(this.#sql.acquire, [
        toColumn(sid),
        toColumn(token),
        Math.max(holdMs, 1),
        // once queued it keeps its place: the last time, too, it comes before those after it
        mayQueue || birth !== undefined ? this.#entryOf(number) : "",
        birth ?? null,
      ]);
    const request = birth === undefined && !this.#hasOthers(waiter)
      ? this.#take(sid, token, holdMs).then((row) => row ?? queue())
      : queue();
    const answer = waiter.answer(request, ANSWER_MS);
    answer.catch(() => {
      // it may be granted or queued afterwards, or have been before the connection broke
      const leave = () => this.#leave(sid, token, number);
      this.#track(request.then((row) => row && leave(), leave));
    });
    return answer;
  }

  /** Takes the lease on a session that is free, by a statement that is fast and does no more. */
  #take(
    sid: string,
    token: string,
    holdMs: number,
  ): Promise<Acquired | undefined> {
    const values = [toColumn(sid), toColumn(token), Math.max(holdMs, 1)];
    return this.#db.first<Acquired>(this.#sql.take, values);
  }

  /** Whether other calls of this process wait for the session. */
  #hasOthers(waiter: Waiter): boolean {
    for (const other of this.#waiters.values()) {
      if (other !== waiter && other.sid === waiter.sid) return true;
    }
    return false;
  }

  /** Leaves the queue, or releases a lease that was granted too late. If this fails, the entry is skipped and the lease expires. */
  #leave(sid: string, token: string, number: string): void {
    this.#track(
      this.#db.once(this.#sql.leave, [
        toColumn(sid),
        toColumn(token),
        this.node,
        this.#entryOf(number),
      ]).then((row) => this.released(row), () => {}),
    );
  }

  /** Lets `close` wait for a request of which nothing else is expected. */
  #track(request: Promise<unknown>): void {
    const tracked = request.finally(() => this.#leaving.delete(tracked));
    this.#leaving.add(tracked);
  }

  /** Wakes the first waiter of this process after a release, at once if it is the first of all. */
  released(row: TextRow | undefined, sinceMs = 0): void {
    const nodes = new Set<string>();
    for (const [node, number] of entriesOf(row)) {
      const waiter = node === this.node ? this.#waiters.get(number) : undefined;
      if (waiter) return waiter.wake(nodes.size * SKIP_MS - sinceMs);
      nodes.add(node);
    }
  }

  /** Wakes all waiters of this process after the end of a session. */
  ended(row: TextRow | undefined): void {
    for (const [node, number] of entriesOf(row)) {
      if (node === this.node) this.#waiters.get(number)?.wake();
    }
  }

  /** Rejects all waiters. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopPolling();
    for (const waiter of this.#waiters.values()) waiter.stop(closedError());
    const closing = this.#listener?.close();
    // the waiters leave after their rejection
    await pause(0);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ANSWER_MS);
    });
    await Promise.race([Promise.allSettled([...this.#leaving]), limit]);
    clearTimeout(timer);
    await closing;
  }

  #entryOf(number: string): string {
    return `${this.node}.${number}`;
  }

  #onMessage(number: string): void {
    const waiter = this.#waiters.get(number);
    if (waiter) waiter.wake();
    // that one has given up: the next of this process is found by a poll
    else void this.#poll();
  }

  /** Sets the timer of the next poll, while there are waiters. */
  #schedule(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#pause = this.#listener?.ready
      ? SLOW_POLL
      : Math.min(this.#pause * 1.5, POLL[1]);
    this.#due = performance.now() + this.#pause;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#poll();
    }, this.#pause);
    // the pending calls have timers of their own
    unref(this.#timer);
  }

  /** Polls soon after progress. A poll is never put off: progress at one session says nothing of the others. */
  #hasten(): void {
    if (this.#listener?.ready || this.#due - performance.now() < 2 * POLL[0]) {
      return;
    }
    this.#stopPolling();
    this.#schedule();
  }

  #stopPolling(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pause = POLL[0];
  }

  async #poll(): Promise<void> {
    if (this.#isPolling || this.#closed) return;
    const queued = [...this.#waiters.values()].filter((each) =>
      each.birth !== undefined
    );
    if (queued.length === 0) return;
    this.#isPolling = true;
    try {
      if (this.#listener?.maintain()) this.#proveListener();
      await this.#peek(queued);
    } catch {
      // each learns the error from its own request
      for (const waiter of queued) waiter.wake();
    } finally {
      this.#isPolling = false;
    }
    this.#schedule();
  }

  #proveListener(): void {
    const values = [CHANNEL + this.node];
    this.#db.run("SELECT pg_notify($1, '')", values).catch(() => {});
  }

  async #peek(queued: readonly Waiter[]): Promise<void> {
    const sids = [...new Set(queued.map(({ sid }) => toColumn(sid)))];
    const rows = await this.#db.run(this.#sql.peek, [sids]);
    const found = new Map(rows.map((row) => [row.sid, row]));
    for (const waiter of queued) {
      const row = found.get(toColumn(waiter.sid));
      if (row?.birth !== waiter.birth) waiter.wake();
    }
    for (const row of rows) {
      if (row.free !== null) this.released(row, Number(row.free));
    }
  }
}

/** The entries of a queue: node and number. */
function* entriesOf(
  row: TextRow | undefined,
): Generator<readonly [node: string, number: string]> {
  // PostgreSQL's text of an array; no entry needs quotes
  const entries = row?.queue?.slice(1, -1);
  if (!entries) return;
  for (const entry of entries.split(",")) {
    const [node = "", number = ""] = entry.split(".");
    yield [node, number];
  }
}

function closedError(): Error {
  return new Error("Cannot lock the session as the store is closed");
}
