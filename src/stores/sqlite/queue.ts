/**
 * The table `waiters`: one queue for all processes, in which each waiter counts
 * by its own heartbeat.
 *
 * @module
 */
import type { SqliteFile, Statement } from "./file.ts";
import type { Identity } from "./sessions.ts";

/** How long a waiter stays queued without a heartbeat of its own, in ms. */
export const HEARTBEAT_TTL = 1_000;

/** How long its entry is kept then, in ms: its process may be frozen. */
const ENTRY_TTL = 60_000;

/** How many waiters one statement handles. */
const BATCH = 500;

/** The statements on the table `waiters`. */
export class SqliteQueue {
  readonly #file: SqliteFile;
  readonly #join: Statement;
  readonly #leave: Statement;
  readonly #leaveAll: Statement;
  readonly #first: Statement;
  readonly #beat: Statement;
  readonly #purge: Statement;

  constructor(file: SqliteFile) {
    this.#file = file;
    this.#join = file.prepare(
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
    this.#beat = file.prepare(
      `UPDATE waiters SET alive_until = ?
       WHERE token IN (SELECT value FROM json_each(?))`,
    );
    this.#purge = file.prepare("DELETE FROM waiters WHERE alive_until <= ?");
  }

  /** Queues a waiter, or prolongs its entry. */
  join(row: Identity, token: string, process: string, now: number): void {
    const until = now + HEARTBEAT_TTL;
    this.#join.run(row.sid, row.birth, token, process, until);
  }

  leave(token: string): void {
    this.#leave.run(JSON.stringify([token]));
  }

  leaveAll(process: string): void {
    this.#leaveAll.run(process);
  }

  /** The token of the first waiter that is alive. */
  first(row: Identity, now: number): string | undefined {
    const first = this.#first.get(row.sid, row.birth, now);
    return (first as { token: string } | undefined)?.token;
  }

  /** Deletes entries as soon as the file allows; where that fails, they expire. */
  leaveSoon(tokens: readonly string[]): void {
    this.#inBatches(tokens, (batch) => this.#leave.run(batch));
  }

  /** Prolongs entries as soon as the file allows. */
  beatSoon(tokens: readonly string[]): void {
    const beat = (batch: string) =>
      this.#beat.run(Date.now() + HEARTBEAT_TTL, batch);
    this.#inBatches(tokens, beat);
  }

  /** Deletes the entries of dead processes. */
  purge(): void {
    this.#purge.run(Date.now() - ENTRY_TTL);
  }

  #inBatches(
    tokens: readonly string[],
    run: (batch: string) => unknown,
  ): void {
    for (let from = 0; from < tokens.length; from += BATCH) {
      const batch = JSON.stringify(tokens.slice(from, from + BATCH));
      this.#file.write(() => run(batch)).catch(() => {});
    }
  }
}
