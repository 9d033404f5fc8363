/**
 * Deletes what has expired, on one of the processes.
 *
 * @module
 */
import { EXPIRED_GRACE, MOVED_FOR } from "../../api/store.ts";
import { Alarm } from "../../base/expiry_heap.ts";
import { pause } from "../../base/timers.ts";
import type { Database } from "./database.ts";
import { MAX_INTEGER, PRUNE_UNIT } from "./record.ts";
import type { Statements } from "./statements.ts";

/** How many rows one statement deletes, so that none takes long. */
const BATCH = 500;

/** The lock of the process that prunes; a name of the application that begins with a quote ends with one. */
const LOCK = '"prune';

/** Deletes expired rows, in batches. */
export class Pruner {
  readonly #db: Database;
  readonly #sql: Statements;
  readonly #node: string;
  readonly #interval: number | undefined;
  readonly #alarm = new Alarm(() => void this.#run());
  #running: Promise<unknown> | undefined;
  #closed = false;

  constructor(
    db: Database,
    sql: Statements,
    node: string,
    interval: number | undefined,
  ) {
    this.#db = db;
    this.#sql = sql;
    this.#node = node;
    this.#interval = interval;
    this.#schedule();
  }

  /** Deletes all that has expired; returns how many sessions that were. */
  async prune(): Promise<number> {
    const now = Date.now();
    const before = now - EXPIRED_GRACE;
    const unit = Math.min(Math.ceil(before / PRUNE_UNIT), MAX_INTEGER);
    await this.#inBatches(this.#sql.pruneFormer, [now - MOVED_FOR]);
    await this.#inBatches(this.#sql.pruneLocks, []);
    return await this.#inBatches(this.#sql.pruneSessions, [unit, before]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#alarm.stop();
    await this.#running;
  }

  #schedule(): void {
    if (this.#interval === undefined || this.#closed) return;
    // not all processes at once
    const wait = this.#interval * (0.75 + Math.random() / 2);
    this.#alarm.set(Date.now() + wait);
  }

  /** Prunes, if no other process has done so in this interval. */
  async #run(): Promise<void> {
    const hold = this.#interval! * 0.7;
    const taking = this.#db.first(this.#sql.tryLock, [LOCK, this.#node, hold]);
    this.#running = taking
      .then((taken) => taken && this.prune())
      // reads and writes fail in the same way, and are reported
      .catch(() => {});
    await this.#running;
    this.#schedule();
  }

  async #inBatches(
    statement: string,
    values: readonly unknown[],
  ): Promise<number> {
    for (let all = 0;;) {
      const row = await this.#db.first(statement, [...values, BATCH]);
      const deleted = Number(row!.deleted);
      all += deleted;
      if (deleted < BATCH || this.#closed) return all;
      await pause(1);
    }
  }
}
