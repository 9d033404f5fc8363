/**
 * The writes of {@linkcode SqliteStore}, each the body of one transaction.
 *
 * @module
 */
import type {
  BeginOptions,
  BeginResult,
  CommitResult,
  MoveCondition,
  MoveResult,
  SessionRecord,
  Version,
} from "../../api/store.ts";
import { refusalOf } from "../../base/store_conditions.ts";
import type { SqliteLeases } from "./leases.ts";
import type { Row, SqliteSessions } from "./sessions.ts";

/** The bodies of the transactions. */
export class SqliteWrites {
  readonly #sessions: SqliteSessions;
  readonly #leases: SqliteLeases;

  constructor(sessions: SqliteSessions, leases: SqliteLeases) {
    this.#sessions = sessions;
    this.#leases = leases;
  }

  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
  ): Version | undefined {
    const row = this.#sessions.find(sid, Date.now());
    if (expected === null) {
      return row ? undefined : this.#sessions.put(sid, record);
    }
    if (row?.version !== expected || this.#leases.isHeld(row)) return undefined;
    // an overdue holder loses its lease: it must not overwrite this
    this.#leases.release(sid);
    return this.#sessions.put(sid, record, row);
  }

  begin(
    sid: string,
    record: SessionRecord,
    options: BeginOptions,
  ): BeginResult {
    if (this.#sessions.find(sid, Date.now())) return { status: "taken" };
    const { clientId } = record;
    const last = clientId === undefined
      ? undefined
      : this.#sessions.lastOf(clientId);
    const refusal = last && refusalOf(record, options, last.sid, last.arrived);
    if (refusal) return refusal;
    const version = this.#sessions.put(sid, record);
    return { status: "begun", version, before: last?.sid };
  }

  /** @returns the session that was ended */
  destroy(sid: string, note: string | undefined): Row | undefined {
    const row = this.#sessions.find(sid, Date.now());
    if (!row) return undefined;
    this.#sessions.remove(sid);
    if (note !== undefined) this.#sessions.note(sid, undefined, note);
    return row;
  }

  /** @returns the result, and the session as it was under the former id */
  move(
    from: string,
    to: string,
    record: SessionRecord,
    condition: MoveCondition,
    note: string,
  ): MoveResult & { readonly old?: Row } {
    const now = Date.now();
    const old = this.#sessions.find(from, now);
    if (!old) return { status: "missing" };
    const lease = this.#leases.find(from);
    const isCurrent = "expected" in condition
      ? old.version === condition.expected && !this.#leases.isHeld(old)
      : lease?.token === condition.token && lease.birth === old.birth;
    if (!isCurrent) return { status: "lost" };
    if (this.#sessions.find(to, now)) return { status: "taken" };
    this.#sessions.remove(from);
    this.#leases.release(from);
    const version = this.#sessions.put(to, record, old);
    this.#leases.release(to);
    if ("token" in condition) this.#leases.take(to, lease!);
    this.#sessions.note(from, to, note);
    return { status: "done", version, old };
  }

  commit(
    sid: string,
    token: string,
    record: SessionRecord | undefined,
  ): CommitResult {
    const row = this.#sessions.find(sid, Date.now());
    const lease = this.#leases.find(sid);
    if (lease?.token === token) this.#leases.release(sid);
    if (!row) return { status: "missing" };
    if (lease?.token !== token) return { status: "lost" };
    if (lease.birth !== row.birth) return { status: "missing" };
    const version = record ? this.#sessions.put(sid, record, row) : row.version;
    return { status: "done", version };
  }
}
