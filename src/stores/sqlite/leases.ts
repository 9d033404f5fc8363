/**
 * Leases on the sessions of a {@linkcode SqliteFile}, and their waiters: one
 * lease for each session, and one queue for all processes.
 *
 * @module
 */
import { generateUid } from "../../base/ids.ts";
import type { AcquireResult } from "../../api/store.ts";
import { toColumn } from "../../base/text_column.ts";
import { isBusy, type SqliteFile, type Statement } from "./file.ts";
import { HEARTBEAT_TTL, SqliteQueue } from "./queue.ts";
import { type Identity, type SqliteSessions, toRecord } from "./sessions.ts";

/** A lease; it is valid only for the session with this `birth`. */
export interface Lease {
  readonly birth: string;
  readonly token: string;
  readonly until: number;
}

interface Waiter {
  readonly sid: string;
  readonly token: string;
  readonly holdMs: number;
  readonly deadline: number;
  /** Whether it has made an attempt: the first is made even after the deadline. */
  tried: boolean;
  /** The `birth` of the session that it waits for; undefined until it is queued. */
  birth: string | undefined;
  resolve(acquired: AcquireResult): void;
  reject(reason: unknown): void;
}

/** The pauses between polls of a waiting process, in ms: they grow from the first to the second. */
const POLL = [2, 20] as const;

/** How many waiters are settled in one go. */
const SETTLED_AT_ONCE = 20;

/** The tables `leases` and `waiters`, and the waiters of this process. */
export class SqliteLeases {
  readonly #file: SqliteFile;
  readonly #sessions: SqliteSessions;
  readonly #process = generateUid();
  readonly #queue: SqliteQueue;
  /** By session id and token, in order of arrival. */
  readonly #waiting = new Map<string, Map<string, Waiter>>();
  /** Sessions for which a grant is attempted. */
  readonly #granting = new Set<string>();
  /** What the current poll has not looked at yet. */
  #unpolled: string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pause: number = POLL[0];
  #lastHeartbeat = 0;

  readonly #find: Statement;
  readonly #take: Statement;
  readonly #release: Statement;
  readonly #purgeLeases: Statement;

  constructor(file: SqliteFile, sessions: SqliteSessions) {
    this.#file = file;
    this.#sessions = sessions;
    this.#queue = new SqliteQueue(file);
    this.#find = file.prepare(
      "SELECT birth, token, until FROM leases WHERE sid = ?",
    );
    this.#take = file.prepare(
      "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)",
    );
    this.#release = file.prepare("DELETE FROM leases WHERE sid = ?");
    this.#purgeLeases = file.prepare(
      `DELETE FROM leases WHERE sid IN
         (SELECT sid FROM leases WHERE NOT EXISTS
           (SELECT 1 FROM sessions WHERE sessions.sid = leases.sid) LIMIT ?)`,
    );
  }

  find(sid: string): Lease | undefined {
    return this.#find.get(toColumn(sid)) as Lease | undefined;
  }

  /** Whether there is a lease on this session that is not overdue. */
  isHeld(row: Identity): boolean {
    const lease = this.#find.get(row.sid) as Lease | undefined;
    return lease?.birth === row.birth && lease.until > Date.now();
  }

  /** Puts a lease on another session. */
  take(sid: string, { birth, token, until }: Lease): void {
    this.#take.run(toColumn(sid), birth, token, until);
  }

  release(sid: string): void {
    this.#release.run(toColumn(sid));
  }

  /** Deletes leases and waiters of dead processes; within a transaction. */
  purge(limit: number): void {
    this.#purgeLeases.run(limit);
    this.#queue.purge();
  }

  acquire(
    sid: string,
    token: string,
    holdMs: number,
    waitMs: number,
  ): Promise<AcquireResult> {
    const deadline = Date.now() + waitMs;
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        sid,
        token,
        holdMs,
        deadline,
        tried: false,
        birth: undefined,
        resolve,
        reject,
      };
      this.#file.write(() => {
        const acquired = this.#attempt(waiter);
        if (acquired) resolve(acquired);
        else this.#wait(waiter);
      }).catch(reject);
    });
  }

  /** Grants the session to this process's waiters, as far as it is their turn. */
  wake(sid: string): void {
    if (!this.#waiting.has(sid) || this.#granting.has(sid)) return;
    this.#granting.add(sid);
    this.#file.write(() => this.#grantNext(sid)).then(
      (isLast) => {
        this.#granting.delete(sid);
        if (!isLast) this.wake(sid);
      },
      (error) => {
        this.#granting.delete(sid);
        // the next poll tries again
        if (!isBusy(error)) this.#fail(error);
      },
    );
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#unpolled = [];
    if (this.#waiting.size === 0) return;
    const error = new Error(
      "Cannot acquire the session as the SqliteStore was closed",
    );
    this.#fail(error);
    try {
      this.#queue.leaveAll(this.#process);
    } catch {
      // the queued waiters expire without heartbeats
    }
  }

  /** @returns whether there is no other waiter to settle for now */
  #grantNext(sid: string): boolean {
    const queue = this.#waiting.get(sid);
    if (queue) this.#timeOut([queue]);
    for (let n = 0; n < SETTLED_AT_ONCE; n++) {
      const waiter = this.#nextOf(sid);
      const acquired = waiter && this.#attempt(waiter);
      if (!acquired) return true;
      this.#settle(waiter, acquired);
    }
    return false;
  }

  #attempt(waiter: Waiter): AcquireResult | undefined {
    try {
      return this.#file.transaction(() => this.#tryAcquire(waiter));
    } finally {
      waiter.tried = true;
    }
  }

  /** One attempt, in a transaction: the result, or `undefined` if the waiter must wait. */
  #tryAcquire(waiter: Waiter): AcquireResult | undefined {
    const { sid, token } = waiter;
    const now = Date.now();
    const row = this.#sessions.find(sid, now);
    if (!row || (waiter.birth ?? row.birth) !== row.birth) {
      this.#queue.leave(token);
      return { status: "missing", waited: waiter.birth !== undefined };
    }
    if (waiter.tried && now > waiter.deadline) {
      this.#queue.leave(token);
      return { status: "timeout" };
    }
    if (!this.#isHeldAgainst(row, token, now)) {
      this.#queue.leave(token);
      this.#take.run(row.sid, row.birth, token, now + waiter.holdMs);
      const granted = { status: "granted", record: toRecord(row) } as const;
      return waiter.birth === undefined
        ? granted
        : { ...granted, waited: true };
    }
    if (now >= waiter.deadline) return { status: "timeout" };
    waiter.birth = row.birth;
    this.#queue.join(row, token, this.#process, now);
    return undefined;
  }

  #isHeldAgainst(row: Identity, token: string, now: number): boolean {
    if (this.isHeld(row)) return true;
    const first = this.#queue.first(row, now);
    return first !== undefined && first !== token;
  }

  /**
   * The waiter of this process for which an attempt may succeed. It takes no
   * write lock, so the answer may be stale: the attempt checks again.
   */
  #nextOf(sid: string): Waiter | undefined {
    const queue = this.#waiting.get(sid);
    if (!queue) return undefined;
    const [earliest] = queue.values();
    const now = Date.now();
    const row = this.#sessions.peek(sid, now);
    if (!row || row.birth !== earliest!.birth) return earliest;
    if (this.isHeld(row)) return undefined;
    const first = this.#queue.first(row, now);
    // the entry of a waiter may have been purged while its process was frozen
    return first === undefined ? earliest : queue.get(first);
  }

  #wait(waiter: Waiter): void {
    const queue = this.#waiting.get(waiter.sid);
    if (queue) queue.set(waiter.token, waiter);
    else this.#waiting.set(waiter.sid, new Map([[waiter.token, waiter]]));
    if (this.#timer === undefined) this.#lastHeartbeat = Date.now();
    this.#pause = POLL[0];
    this.#schedule();
  }

  #settle(waiter: Waiter, acquired: AcquireResult): void {
    const queue = this.#waiting.get(waiter.sid);
    queue?.delete(waiter.token);
    if (queue?.size === 0) this.#waiting.delete(waiter.sid);
    this.#pause = POLL[0];
    waiter.resolve(acquired);
  }

  /** Sets the timer. It keeps the process alive, as there are pending calls. */
  #schedule(): void {
    if (this.#unpolled.length > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.size === 0) return;
    this.#timer = setTimeout(() => this.#poll(), this.#pause);
  }

  #poll(): void {
    this.#pause = Math.min(this.#pause * 1.5, POLL[1]);
    this.#unpolled = [...this.#waiting.keys()];
    this.#timeOut([...this.#waiting.values()]);
    this.#beat();
    this.#pollSome();
  }

  /** Looks at as many sessions as fit into this turn of the event loop. */
  #pollSome(): void {
    try {
      while (!this.#file.isTurnOver) {
        const sid = this.#unpolled.pop();
        if (sid === undefined) break;
        const isReady = !this.#granting.has(sid) &&
          this.#file.spend(() => this.#nextOf(sid)) !== undefined;
        if (isReady) this.wake(sid);
      }
    } catch (error) {
      this.#unpolled = [];
      if (!isBusy(error)) this.#fail(error);
    }
    if (this.#unpolled.length > 0) {
      this.#timer = setTimeout(() => this.#pollSome(), 0);
    } else this.#schedule();
  }

  /** Settles the waiters whose wait is over, whether or not their entries can be deleted now. */
  #timeOut(queues: readonly Map<string, Waiter>[]): void {
    const now = Date.now();
    const tokens: string[] = [];
    for (const queue of queues) {
      for (const waiter of queue.values()) {
        if (now <= waiter.deadline) continue;
        this.#settle(waiter, { status: "timeout" });
        tokens.push(waiter.token);
      }
    }
    this.#queue.leaveSoon(tokens);
  }

  /** Prolongs the entries of those that wait, and of no others. */
  #beat(): void {
    const now = Date.now();
    if (now - this.#lastHeartbeat <= HEARTBEAT_TTL / 4) return;
    this.#lastHeartbeat = now;
    const queues = [...this.#waiting.values()];
    this.#queue.beatSoon(queues.flatMap((queue) => [...queue.keys()]));
  }

  #fail(error: unknown): void {
    for (const queue of this.#waiting.values()) {
      for (const waiter of queue.values()) waiter.reject(error);
    }
    this.#waiting.clear();
  }
}
