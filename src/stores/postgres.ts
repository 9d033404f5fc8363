/**
 * `@koa-io/session/postgres`: sessions in PostgreSQL, shared by any number of
 * processes.
 *
 * It needs PostgreSQL 13 or later and a Pool of the package `pg`. Every
 * operation is one statement; no transaction, connection or lock of the
 * database is held while a handler runs. Leases use the server's clock, session
 * lives the clocks of the processes and the server, which must agree to a few
 * seconds.
 *
 * @module
 */
import {
  type AcquireResult,
  type BeginOptions,
  type BeginResult,
  type CommitResult,
  EXPIRED_GRACE,
  type FormerId,
  type MoveCondition,
  type MoveResult,
  type ScannedSession,
  type SessionRecord,
  type SharedStore,
  type StoredRecord,
  type Version,
} from "../api/store.ts";
import { isRecent } from "../base/store_conditions.ts";
import { fromColumn, toColumn } from "../base/text_column.ts";
import { Database, type TextRow } from "./postgres/database.ts";
import { checkOptions, type PostgresStoreOptions } from "./postgres/options.ts";
import { ignoreErrors } from "./postgres/pool.ts";
import { Pruner } from "./postgres/pruner.ts";
import { Queue } from "./postgres/queue.ts";
import { decode, type Row, textOf } from "./postgres/record.ts";
import { type Statements, statementsOf } from "./postgres/statements.ts";
import { Writes } from "./postgres/writes.ts";

// the types of the store contract, so that users of this module need no other
export type * from "../api/store_contract.ts";

export type { PostgresPool, PostgresQuery } from "./postgres/pool.ts";

export type { PostgresStoreOptions };

/**
 * A store for many processes: one row for each session. Its operations are
 * atomic statements, one round trip each; waiters for a session are woken by
 * notifications, or by polling where none arrive. An error of the pool rejects
 * the call that it belongs to.
 *
 * @example Keep sessions in PostgreSQL
 * ```ts ignore
 * import { PostgresStore } from "@koa-io/session/postgres";
 * import pg from "pg";
 *
 * const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
 * const store = new PostgresStore({ pool });
 * await store.migrate();
 * bridgeSession(app, io, { store });
 * ```
 *
 * @example An invalid pool is refused with the name of the missing method
 * ```ts
 * import { type PostgresPool, PostgresStore } from "@koa-io/session/postgres";
 * import { assertThrows } from "@std/assert";
 *
 * const pool = {} as PostgresPool;
 * assertThrows(() => new PostgresStore({ pool }), TypeError, "pool.query must be a function");
 * ```
 */
export class PostgresStore implements SharedStore {
  /** Always `"shared"`. */
  readonly scope = "shared";
  /** The name of the table, quoted, with its schema if one was given. */
  readonly table: string;

  readonly #db: Database;
  readonly #sql: Statements;
  readonly #queue: Queue;
  readonly #writes: Writes;
  readonly #pruner: Pruner;
  readonly #stopIgnoring: () => void;

  /**
   * Creates a store; it sends nothing to the database yet.
   *
   * @param options see {@linkcode PostgresStoreOptions}
   * @throws {TypeError} when the pool is none, or was ended, or an option is of the wrong type
   * @throws {RangeError} when a name or the interval is out of range
   */
  constructor(options: PostgresStoreOptions) {
    const { pool, schema, table, prune, listen } = checkOptions(options);
    this.#db = new Database(pool, schema, table);
    this.table = this.#db.tables.sessions;
    this.#sql = statementsOf(this.#db.tables);
    this.#queue = new Queue(this.#db, this.#sql, listen);
    this.#writes = new Writes(this.#db, this.#sql, this.#queue);
    this.#pruner = new Pruner(this.#db, this.#sql, this.#queue.node, prune);
    this.#stopIgnoring = ignoreErrors(pool);
  }

  /**
   * Creates the tables, or what is missing of them. It can be repeated, and
   * called by several processes at once; where nothing is missing it needs no
   * right to create.
   *
   * @throws {Error} when the server is too old, or a table of the name is not one of this store
   */
  migrate(): Promise<void> {
    return this.#db.migrate();
  }

  /** See {@linkcode SharedStore.read}. */
  async read(sid: string): Promise<StoredRecord | undefined> {
    const after = Date.now() - EXPIRED_GRACE;
    const values = [toColumn(sid), after];
    const row = await this.#db.first<Row>(this.#sql.read, values);
    return row && decode(row);
  }

  /** See {@linkcode SharedStore.write}. */
  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
  ): Promise<Version | undefined> {
    return this.#writes.write(sid, record, expected);
  }

  /** See {@linkcode SharedStore.begin}. */
  begin(
    sid: string,
    record: SessionRecord,
    options: BeginOptions = {},
  ): Promise<BeginResult> {
    return this.#writes.begin(sid, record, options);
  }

  /** See {@linkcode SharedStore.extend}. */
  async extend(
    sid: string,
    expires: number,
    lastUsed?: number,
  ): Promise<boolean> {
    const values = [toColumn(sid), expires, lastUsed ?? null];
    return await this.#db.first(this.#sql.extend, values) !== undefined;
  }

  /** See {@linkcode SharedStore.destroy}. */
  destroy(sid: string, note?: string): Promise<boolean> {
    return this.#writes.destroy(sid, note);
  }

  /** See {@linkcode SharedStore.move}. */
  move(
    from: string,
    to: string,
    record: SessionRecord,
    condition: MoveCondition,
    note: string,
  ): Promise<MoveResult> {
    return this.#writes.move(from, to, record, condition, note);
  }

  /** See {@linkcode SharedStore.former}. */
  async former(sid: string): Promise<FormerId | undefined> {
    const row = await this.#db.first(this.#sql.former, [toColumn(sid)]);
    if (!row) return undefined;
    const former = {
      to: textOf(row.moved_to),
      at: Number(row.at),
      note: fromColumn(row.note!),
    };
    return isRecent(former, Date.now()) ? former : undefined;
  }

  /** See {@linkcode SharedStore.byClient}. */
  byClient(clientId: string): Promise<string | undefined> {
    return this.#findId(this.#sql.byClient, toColumn(clientId));
  }

  /** See {@linkcode SharedStore.byUser}. */
  async byUser(user: string): Promise<readonly string[]> {
    const rows = await this.#db.run(this.#sql.byUser, [toColumn(user)]);
    return rows.map((row) => fromColumn(row.sid!));
  }

  /** See {@linkcode SharedStore.byHash}. */
  byHash(hash: string): Promise<string | undefined> {
    return this.#findId(this.#sql.byHash, toColumn(hash));
  }

  /** See {@linkcode SharedStore.scan}. */
  async *scan(limit: number): AsyncGenerator<readonly ScannedSession[]> {
    for (let start: string | undefined = ""; start !== undefined;) {
      const rows: readonly (Row & TextRow)[] = await this.#db.run(
        this.#sql.after,
        [start, limit],
      );
      yield rows.map((row) => ({
        sid: fromColumn(row.sid!),
        record: decode(row),
      }));
      start = rows.at(-1)?.sid ?? undefined;
    }
  }

  /** See {@linkcode SharedStore.versions}. */
  async versions(
    sids: readonly string[],
  ): Promise<readonly (Version | undefined)[]> {
    const keys = sids.map(toColumn);
    const rows = await this.#db.run(this.#sql.versions, [keys]);
    const found = new Map(rows.map((row) => [row.sid, row.version!]));
    return keys.map((key) => found.get(key));
  }

  /**
   * See {@linkcode SharedStore.acquire}.
   *
   * @throws {Error} when PostgreSQL does not answer, or when the store is closed
   */
  acquire(
    sid: string,
    token: string,
    holdMs: number,
    waitMs: number,
  ): Promise<AcquireResult> {
    return this.#queue.acquire(sid, token, holdMs, waitMs);
  }

  /** See {@linkcode SharedStore.commit}. */
  commit(
    sid: string,
    token: string,
    record: SessionRecord | undefined,
  ): Promise<CommitResult> {
    return this.#writes.commit(sid, token, record);
  }

  /** See {@linkcode SharedStore.tryLock}. */
  async tryLock(
    name: string,
    token: string,
    holdMs: number,
  ): Promise<boolean> {
    const values = [toColumn(name), toColumn(token), Math.max(holdMs, 1)];
    return await this.#db.first(this.#sql.tryLock, values) !== undefined;
  }

  /** See {@linkcode SharedStore.unlock}. */
  async unlock(name: string, token: string): Promise<void> {
    await this.#db.run(this.#sql.unlock, [toColumn(name), toColumn(token)]);
  }

  /**
   * Deletes expired sessions, in batches that other processes do not wait for.
   * Sessions that expired within the last {@linkcode EXPIRED_GRACE} ms stay.
   *
   * @returns how many sessions it deleted
   */
  prune(): Promise<number> {
    return this.#pruner.prune();
  }

  /**
   * Closes the connection that the store opened, and stops its timers; the pool
   * stays open. Pending `acquire` calls reject.
   */
  async close(): Promise<void> {
    await Promise.all([this.#queue.close(), this.#pruner.close()]);
    this.#stopIgnoring();
  }

  /** The same as {@linkcode PostgresStore.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #findId(statement: string, value: string): Promise<string | undefined> {
    const row = await this.#db.first(statement, [value]);
    return row && fromColumn(row.sid!);
  }
}
