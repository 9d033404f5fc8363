/**
 * The writes of {@linkcode PostgresStore}.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type {
  BeginOptions,
  BeginResult,
  CommitResult,
  MoveCondition,
  MoveResult,
  SessionRecord,
  Version,
} from "../../api/store.ts";
import { hashId } from "../../base/ids.ts";
import { toColumn } from "../../base/text_column.ts";
import type { Database } from "./database.ts";
import type { Queue } from "./queue.ts";
import { encode, textOf, textOrNull, valuesOf } from "./record.ts";
import { beginStatement, type Statements } from "./statements.ts";

/** The code of an error: two rows have one key. */
const UNIQUE_VIOLATION = "23505";

/** Writes sessions. */
export class Writes {
  readonly #db: Database;
  readonly #sql: Statements;
  readonly #queue: Queue;
  #versions = 0;

  constructor(db: Database, sql: Statements, queue: Queue) {
    this.#db = db;
    this.#sql = sql;
    this.#queue = queue;
  }

  async write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
  ): Promise<Version | undefined> {
    const version = this.#version();
    const values = valuesOf(record);
    const id = toColumn(sid);
    const { row, doubt } = expected === null
      ? await this.#db.write(this.#sql.insert, [
        id,
        hashId(sid),
        version,
        ...values,
      ])
      : await this.#db.write(this.#sql.update, [
        id,
        String(expected),
        version,
        ...values,
      ]);
    const isWritten = row || doubt && await this.#isAt(sid, version, doubt);
    return isWritten ? version : undefined;
  }

  async begin(
    sid: string,
    record: SessionRecord,
    { replaces }: BeginOptions,
  ): Promise<BeginResult> {
    const { clientId } = record;
    if (clientId === undefined) {
      const version = await this.write(sid, record, null);
      return version === undefined
        ? { status: "taken" }
        : { status: "begun", version, before: undefined };
    }
    const version = this.#version();
    const json = JSON.stringify({
      ...encode(record),
      sid: toColumn(sid),
      hash: hashId(sid),
      version,
      restricted: replaces !== undefined,
      replaces: replaces?.map(toColumn) ?? [],
    });
    const [row] = await this.#db.runAll([
      `SELECT pg_advisory_xact_lock(${this.#lockOf(clientId)})`,
      beginStatement(this.#db.tables, Buffer.from(json).toString("hex")),
    ]);
    const before = textOf(row!.before);
    switch (row!.status) {
      case "superseded":
        return { status: "superseded" };
      case "occupied":
        return { status: "occupied", before: before! };
    }
    return row!.status === "taken" || row!.written === "0"
      ? { status: "taken" }
      : { status: "begun", version, before };
  }

  async destroy(sid: string, note: string | undefined): Promise<boolean> {
    const row = await this.#db.once(this.#sql.destroy, [
      toColumn(sid),
      Date.now(),
      textOrNull(note),
      this.#queue.node,
    ]);
    this.#queue.ended(row);
    return row !== undefined;
  }

  async move(
    from: string,
    to: string,
    record: SessionRecord,
    condition: MoveCondition,
    note: string,
  ): Promise<MoveResult> {
    if (from === to) return await this.#unmoved(from, condition, "taken");
    const version = this.#version();
    const [statement, fence] = "expected" in condition
      ? [this.#sql.moveExpected, String(condition.expected)]
      : [this.#sql.moveLeased, toColumn(condition.token)];
    const values = [
      toColumn(to),
      hashId(to),
      version,
      toColumn(from),
      fence,
      Date.now(),
      toColumn(note),
      this.#queue.node,
      ...valuesOf(record),
    ];
    for (;;) {
      try {
        const { row, doubt } = await this.#db.write(statement, values);
        const isMoved = row || doubt && await this.#isAt(to, version, doubt);
        if (!isMoved) return await this.#unmoved(from, condition, "lost");
        this.#queue.ended(row);
        return { status: "done", version };
      } catch (error) {
        if ((error as { code?: string }).code !== UNIQUE_VIOLATION) throw error;
      }
      // the new id has a session, or an expired one that was not deleted yet
      const id = [toColumn(to)];
      if (!await this.#db.first(this.#sql.deleteExpired, id)) {
        return { status: "taken" };
      }
    }
  }

  async commit(
    sid: string,
    token: string,
    record: SessionRecord | undefined,
  ): Promise<CommitResult> {
    const lease = [toColumn(sid), toColumn(token), this.#queue.node];
    if (record) {
      const version = this.#version();
      const { row, doubt } = await this.#db.write(this.#sql.commit, [
        ...lease,
        version,
        ...valuesOf(record),
      ]);
      if (row || doubt && await this.#isAt(sid, version, doubt)) {
        this.#queue.released(row);
        return { status: "done", version };
      }
    }
    const row = await this.#db.once(this.#sql.release, lease);
    if (row?.alive === "t") {
      this.#queue.released(row);
      return record
        ? { status: "lost" }
        : { status: "done", version: row.version! };
    }
    this.#queue.ended(row);
    if (row) return { status: "missing" };
    const state = await this.#db.first(this.#sql.state, [toColumn(sid)]);
    return { status: state ? "lost" : "missing" };
  }

  /**
   * After a repeated write: whether the first one has written.
   *
   * @throws the first one's error where another write may have followed it
   */
  async #isAt(
    sid: string,
    version: string,
    doubt: unknown,
  ): Promise<boolean> {
    const state = await this.#db.first(this.#sql.state, [toColumn(sid)]);
    if (state?.version === version) return true;
    throw doubt;
  }

  /** Why a session was not moved. */
  async #unmoved(
    sid: string,
    condition: MoveCondition,
    otherwise: "lost" | "taken",
  ): Promise<MoveResult> {
    const state = await this.#db.first(this.#sql.state, [toColumn(sid)]);
    if (!state) return { status: "missing" };
    const isMet = "expected" in condition
      ? state.version === String(condition.expected) && state.free === "t"
      : state.token === toColumn(condition.token);
    return { status: isMet ? otherwise : "lost" };
  }

  /** The key of the lock on a client: 64 bits, and none of another table's but by accident, which is harmless. */
  #lockOf(clientId: string): string {
    const name = `${this.#db.tables.sessions}\n${clientId}`;
    return String(createHash("sha256").update(name).digest().readBigInt64BE());
  }

  /** Unique: a random name of this process, and a counter. */
  #version(): string {
    return `${this.#queue.node}.${++this.#versions}`;
  }
}
