/**
 * Locks in a {@linkcode SqliteFile} that belong to no session.
 *
 * @module
 */
import type { SqliteFile, Statement } from "./file.ts";
import { toColumn } from "../../base/text_column.ts";

/** The statements on the table `locks`. */
export class SqliteLocks {
  readonly #take: Statement;
  readonly #release: Statement;
  readonly #purge: Statement;

  constructor(file: SqliteFile) {
    this.#take = file.prepare(
      `INSERT INTO locks VALUES (?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET token = excluded.token, until = excluded.until
       WHERE locks.until <= ? OR locks.token = excluded.token`,
    );
    this.#release = file.prepare(
      "DELETE FROM locks WHERE name = ? AND token = ?",
    );
    this.#purge = file.prepare(
      "DELETE FROM locks WHERE name IN (SELECT name FROM locks WHERE until <= ? LIMIT ?)",
    );
  }

  /** Takes a lock that is free, overdue, or held by the same token already. */
  take(name: string, token: string, holdMs: number): boolean {
    const now = Date.now();
    const { changes } = this.#take.run(
      toColumn(name),
      toColumn(token),
      now + holdMs,
      now,
    );
    return Number(changes) > 0;
  }

  release(name: string, token: string): void {
    this.#release.run(toColumn(name), toColumn(token));
  }

  /** Deletes at most `limit` overdue locks. */
  purge(limit: number): void {
    this.#purge.run(Date.now(), limit);
  }
}
