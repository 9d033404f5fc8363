/**
 * Leases on the sessions of a {@linkcode SqliteFile}, and their waiters: one
 * lease for each session, and one queue for all processes.
 *
 * @module
 */
import { generateUid } from "../../base/ids.ts";
import type { AcquireResult } from "../../api/store.ts";
import { isBusy, type SqliteFile, type Statement, toColumn } from "./file.ts";
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

/** How long a waiter stays queued without a heartbeat of its own, in ms. */
const HEARTBEAT_TTL = 1_000;

/** How long the entry of a waiter is kept after its last heartbeat, in ms: its process may be frozen. */
const ENTRY_TTL = 60_000;

/** How many waiters one statement handles. */
const BATCH = 500;

/** How many waiters are settled in one go. */
const SETTLED_AT_ONCE = 20;

/** The tables `leases` and `waiters`, and the waiters of this process. */
export class SqliteLeases {
  readonly #file: SqliteFile;
  readonly #sessions: SqliteSessions;
  readonly #process = generateUid();
  /** In order of arrival, by session id. */
  readonly #waiting = new Map<string, Set<Waiter>>();
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
  readonly #queue: Statement;
  readonly #leave: Statement;
  readonly #leaveAll: Statement;
  readonly #first: Statement;
  readonly #heartbeat: Statement;
  readonly #purgeWaiters: Statement;

  constructor(file: SqliteFile, sessions: SqliteSessions) {
    this.#file = file;
    this.#sessions = sessions;
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
    this.#queue = file.prepare(
      `INSERT INTO waiters (sid, birth, token, process, alive_until)
       VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (token) DO UPDATE SET alive_until = excluded.alive_until`,
    );
    this.#leave = file.prepare(
      "DELETE FROM waiters WHERE token IN (SELECT value FROM json_each(?))",
    );
    this.#leaveAll = file.prepare("DELETE FROM waiters WHERE process = ?");
    this.#first = file.prepare(
      `SELECT token FROM waiters WHERE sid = ? AND birth = ? AND alive_until > ?
       ORDER BY turn LIMIT 1`,
    );
    this.#heartbeat = file.prepare(
      `UPDATE waiters SET alive_until = ?
       WHERE token IN (SELECT value FROM json_each(?))`,
    );
    this.#purgeWaiters = file.prepare(
      "DELETE FROM waiters WHERE alive_until <= ?",
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
    this.#purgeWaiters.run(Date.now() - ENTRY_TTL);
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
      this.#leaveAll.run(this.#process);
    } catch {
      // the queued waiters expire without heartbeats
    }
  }

  /** @returns whether there is no other waiter to settle for now */
  #grantNext(sid: string): boolean {
    const queue = this.#waiting.get(sid);
    if (queue) this.#timeOut([queue]);
    for (let n = 0; n < SETTLED_AT_ONCE; n++) {
      const [waiter] = this.#waiting.get(sid) ?? [];
      if (!waiter || !this.#isReady(waiter)) return true;
      const acquired = this.#attempt(waiter);
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
      this.#leave.run(JSON.stringify([token]));
      return { status: "missing", waited: waiter.birth !== undefined };
    }
    if (waiter.tried && now > waiter.deadline) {
      this.#leave.run(JSON.stringify([token]));
      return { status: "timeout" };
    }
    if (!this.#isHeldAgainst(row, token, now)) {
      this.#leave.run(JSON.stringify([token]));
      this.#take.run(row.sid, row.birth, token, now + waiter.holdMs);
      return { status: "granted", record: toRecord(row) };
    }
    if (now >= waiter.deadline) return { status: "timeout" };
    waiter.birth = row.birth;
    this.#queue.run(
      row.sid,
      row.birth,
      token,
      this.#process,
      now + HEARTBEAT_TTL,
    );
    return undefined;
  }

  #isHeldAgainst(row: Identity, token: string, now: number): boolean {
    if (this.isHeld(row)) return true;
    const first = this.#first.get(row.sid, row.birth, now) as
      | { token: string }
      | undefined;
    return first !== undefined && first.token !== token;
  }

  /** Whether an attempt may succeed. It takes no write lock, so the answer may be stale: the attempt checks again. */
  #isReady(waiter: Waiter): boolean {
    const now = Date.now();
    const row = this.#sessions.peek(waiter.sid, now);
    return row?.birth !== waiter.birth || now > waiter.deadline ||
      !this.#isHeldAgainst(row!, waiter.token, now);
  }

  #wait(waiter: Waiter): void {
    const queue = this.#waiting.get(waiter.sid);
    if (queue) queue.add(waiter);
    else this.#waiting.set(waiter.sid, new Set([waiter]));
    if (this.#timer === undefined) this.#lastHeartbeat = Date.now();
    this.#pause = POLL[0];
    this.#schedule();
  }

  #settle(waiter: Waiter, acquired: AcquireResult): void {
    const queue = this.#waiting.get(waiter.sid);
    queue?.delete(waiter);
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
        const [waiter] = this.#waiting.get(sid) ?? [];
        const isReady = waiter && !this.#granting.has(sid) &&
          this.#file.spend(() => this.#isReady(waiter));
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
  #timeOut(queues: readonly Set<Waiter>[]): void {
    const now = Date.now();
    const tokens: string[] = [];
    for (const queue of queues) {
      for (const waiter of queue) {
        if (now <= waiter.deadline) continue;
        this.#settle(waiter, { status: "timeout" });
        tokens.push(waiter.token);
      }
    }
    // where this fails, the entries expire without heartbeats
    this.#inBatches(tokens, (batch) => this.#leave.run(batch));
  }

  /** Prolongs the entries of those that wait, and of no others. */
  #beat(): void {
    const now = Date.now();
    if (now - this.#lastHeartbeat <= HEARTBEAT_TTL / 4) return;
    this.#lastHeartbeat = now;
    const waiters = [...this.#waiting.values()].flatMap((queue) => [...queue]);
    const tokens = waiters.map(({ token }) => token);
    this.#inBatches(
      tokens,
      (batch) => this.#heartbeat.run(Date.now() + HEARTBEAT_TTL, batch),
    );
  }

  #inBatches(tokens: string[], run: (batch: string) => unknown): void {
    for (let from = 0; from < tokens.length; from += BATCH) {
      const batch = JSON.stringify(tokens.slice(from, from + BATCH));
      this.#file.write(() => run(batch)).catch(() => {});
    }
  }

  #fail(error: unknown): void {
    for (const queue of this.#waiting.values()) {
      for (const waiter of queue) {
        waiter.reject(error);
      }
    }
    this.#waiting.clear();
  }
}
