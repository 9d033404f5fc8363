/**
 * Who holds a session of a {@linkcode SqliteFile}, and who waits for it: one
 * lease for each session, and one line for all processes.
 *
 * @module
 */
import { generateUid } from "../../base/ids.ts";
import type { AcquireResult } from "../../api/store.ts";
import { isBusy, type SqliteFile, type Statement, toColumn } from "./file.ts";
import { type Identity, type SqliteSessions, toRecord } from "./sessions.ts";

/** A lease; it counts only for the session whose birth it names. */
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
  /** Whether it has had a look: the first one is never too late. */
  tried: boolean;
  /** Of the session that it waits for; undefined before it stands in line. */
  birth: string | undefined;
  resolve(acquired: AcquireResult): void;
  reject(reason: unknown): void;
}

/** How often a waiting process looks, in ms: from the first to the second, slower and slower. */
const LOOK = [2, 20] as const;

/** How long a place in line is kept for a process that does not say it is alive, in ms. */
const ALIVE = 1_000;

/** The tables `leases` and `waiters`, and the waiters of this process. */
export class SqliteLeases {
  readonly #file: SqliteFile;
  readonly #sessions: SqliteSessions;
  readonly #process = generateUid();
  readonly #waiting = new Map<string, Waiter[]>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pause: number = LOOK[0];
  #said = 0;

  readonly #find: Statement;
  readonly #take: Statement;
  readonly #release: Statement;
  readonly #purgeLeases: Statement;
  readonly #queue: Statement;
  readonly #leave: Statement;
  readonly #leaveAll: Statement;
  readonly #first: Statement;
  readonly #sayAlive: Statement;
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
    this.#leave = file.prepare("DELETE FROM waiters WHERE token = ?");
    this.#leaveAll = file.prepare("DELETE FROM waiters WHERE process = ?");
    this.#first = file.prepare(
      `SELECT token FROM waiters WHERE sid = ? AND birth = ? AND alive_until > ?
       ORDER BY turn LIMIT 1`,
    );
    this.#sayAlive = file.prepare(
      "UPDATE waiters SET alive_until = ? WHERE process = ?",
    );
    this.#purgeWaiters = file.prepare(
      "DELETE FROM waiters WHERE alive_until <= ?",
    );
  }

  find(sid: string): Lease | undefined {
    return this.#find.get(toColumn(sid)) as Lease | undefined;
  }

  /** Whether somebody holds this session and is not overdue. */
  isHeld(row: Identity): boolean {
    const lease = this.#find.get(row.sid) as Lease | undefined;
    return lease?.birth === row.birth && lease.until > Date.now();
  }

  release(sid: string): void {
    this.#release.run(toColumn(sid));
  }

  /** Drops what dead processes have left; within a transaction. */
  purge(limit: number): void {
    this.#purgeLeases.run(limit);
    this.#purgeWaiters.run(Date.now());
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
      this.#file.run(() => {
        const acquired = this.#attempt(waiter);
        if (acquired) resolve(acquired);
        else this.#wait(waiter);
      }).catch(reject);
    });
  }

  /** Serves those of this process who wait for a session, as far as their turn has come. */
  wake(sid: string): void {
    try {
      for (;;) {
        const waiter = this.#waiting.get(sid)?.[0];
        if (!waiter || this.#file.closed || !this.#mayGoOn(waiter)) return;
        const acquired = this.#attempt(waiter);
        if (!acquired) return;
        this.#settle(waiter, acquired);
      }
    } catch (error) {
      // the next look finds the same
      if (!isBusy(error)) this.#fail(error);
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.size === 0) return;
    for (const waiter of [...this.#waiting.values()].flat()) {
      waiter.reject(
        new Error("Cannot acquire the session as the SqliteStore was closed"),
      );
    }
    this.#waiting.clear();
    try {
      this.#leaveAll.run(this.#process);
    } catch {
      // their places in line lapse by themselves
    }
  }

  #attempt(waiter: Waiter): AcquireResult | undefined {
    try {
      return this.#file.transaction(() => this.#turn(waiter));
    } finally {
      waiter.tried = true;
    }
  }

  /** One look, in a transaction: what became of the waiter, or `undefined` if it must wait. */
  #turn(waiter: Waiter): AcquireResult | undefined {
    const { sid, token } = waiter;
    const now = Date.now();
    const row = this.#sessions.find(sid, now);
    if (!row || (waiter.birth ?? row.birth) !== row.birth) {
      this.#leave.run(token);
      return { status: "missing", waited: waiter.birth !== undefined };
    }
    if (waiter.tried && now > waiter.deadline) {
      this.#leave.run(token);
      return { status: "timeout" };
    }
    if (!this.#isHeldAgainst(row, token, now)) {
      this.#leave.run(token);
      this.#take.run(row.sid, row.birth, token, now + waiter.holdMs);
      return { status: "granted", record: toRecord(row) };
    }
    if (now >= waiter.deadline) return { status: "timeout" };
    waiter.birth = row.birth;
    this.#queue.run(row.sid, row.birth, token, this.#process, now + ALIVE);
    return undefined;
  }

  #isHeldAgainst(row: Identity, token: string, now: number): boolean {
    if (this.isHeld(row)) return true;
    const first = this.#first.get(row.sid, row.birth, now) as
      | { token: string }
      | undefined;
    return first !== undefined && first.token !== token;
  }

  /** The same question without the write lock: the answer may be stale, and is asked again with it. */
  #mayGoOn(waiter: Waiter): boolean {
    const now = Date.now();
    const row = this.#sessions.peek(waiter.sid, now);
    return row?.birth !== waiter.birth || now > waiter.deadline ||
      !this.#isHeldAgainst(row!, waiter.token, now);
  }

  #wait(waiter: Waiter): void {
    const line = this.#waiting.get(waiter.sid);
    if (line) line.push(waiter);
    else this.#waiting.set(waiter.sid, [waiter]);
    if (this.#timer === undefined) this.#said = Date.now();
    this.#pause = LOOK[0];
    this.#schedule();
  }

  #settle(waiter: Waiter, acquired: AcquireResult): void {
    const line = this.#waiting.get(waiter.sid) ?? [];
    const rest = line.filter((other) => other !== waiter);
    if (rest.length > 0) this.#waiting.set(waiter.sid, rest);
    else this.#waiting.delete(waiter.sid);
    this.#pause = LOOK[0];
    waiter.resolve(acquired);
  }

  /** Who waits wants its process to stay alive: this timer is none that steps aside. */
  #schedule(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.size === 0) return;
    this.#timer = setTimeout(() => this.#look(), this.#pause);
  }

  #look(): void {
    this.#pause = Math.min(this.#pause * 1.5, LOOK[1]);
    const now = Date.now();
    try {
      if (now - this.#said > ALIVE / 4) {
        this.#sayAlive.run(now + ALIVE, this.#process);
        this.#said = now;
      }
      for (const [sid, line] of [...this.#waiting]) {
        for (const waiter of line) {
          if (now > waiter.deadline) this.#giveUp(waiter);
        }
        this.wake(sid);
      }
    } catch (error) {
      if (!isBusy(error)) this.#fail(error);
    }
    this.#schedule();
  }

  #giveUp(waiter: Waiter): void {
    this.#settle(waiter, { status: "timeout" });
    this.#leave.run(waiter.token);
  }

  #fail(error: unknown): void {
    for (const waiter of [...this.#waiting.values()].flat()) {
      waiter.reject(error);
    }
    this.#waiting.clear();
  }
}
