/**
 * The sessions of a {@linkcode SqliteFile}, row by row. There are no waits and
 * no locks here: the caller opens a transaction where one is needed.
 *
 * @module
 */
import { generateUid, hashId } from "../../base/ids.ts";
import {
  EXPIRED_GRACE,
  type FormerId,
  MOVED_FOR,
  type ScannedSession,
  type SessionRecord,
  type StoredRecord,
} from "../../api/store.ts";
import type { SqliteFile, Statement } from "./file.ts";
import { fromColumn, toColumn } from "../../base/text_column.ts";

/** Identifies a session among all that ever had the id. */
export interface Identity {
  readonly sid: string;
  readonly birth: string;
}

/** A row of the table `sessions`. */
export interface Row extends Identity {
  readonly version: string;
  readonly max_age: number;
  readonly expires: number;
  readonly absolute_end: number | null;
  readonly cookie: number | "session" | null;
  readonly client_id: string | null;
  readonly bound: number;
  readonly settled: number;
  readonly user: string | null;
  readonly data: string;
  readonly created: number | null;
  readonly authenticated_at: number | null;
  readonly last_used: number | null;
  readonly arrived: number | null;
  readonly meta: string | null;
  readonly handle: string | null;
}

const COLUMNS =
  "sid, birth, version, max_age, expires, absolute_end, cookie, client_id, bound, settled, user, data, " +
  "created, authenticated_at, last_used, arrived, meta, handle";

/** The statements on the tables `sessions` and `former`. */
export class SqliteSessions {
  readonly #find: Statement;
  readonly #peek: Statement;
  readonly #put: Statement;
  readonly #extend: Statement;
  readonly #remove: Statement;
  readonly #purge: Statement;
  readonly #lastBound: Statement;
  readonly #byClient: Statement;
  readonly #byUser: Statement;
  readonly #byHash: Statement;
  readonly #after: Statement;
  readonly #versions: Statement;
  readonly #note: Statement;
  readonly #former: Statement;
  readonly #purgeFormer: Statement;

  constructor(file: SqliteFile) {
    this.#find = file.prepare(
      `SELECT ${COLUMNS} FROM sessions WHERE sid = ? AND expires > ?`,
    );
    this.#peek = file.prepare(
      "SELECT sid, birth FROM sessions WHERE sid = ? AND expires > ?",
    );
    this.#put = file.prepare(
      `INSERT OR REPLACE INTO sessions (hash, ${COLUMNS})
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#extend = file.prepare(
      `UPDATE sessions SET expires = max(expires, min(?, coalesce(absolute_end, ?))),
         last_used = coalesce(max(last_used, ?), last_used, ?)
       WHERE sid = ? AND expires > ?`,
    );
    this.#remove = file.prepare("DELETE FROM sessions WHERE sid = ?");
    this.#purge = file.prepare(
      `DELETE FROM sessions WHERE sid IN
         (SELECT sid FROM sessions WHERE expires <= ? ORDER BY expires LIMIT ?)
       RETURNING ${COLUMNS}`,
    );
    this.#lastBound = file.prepare(
      "SELECT max(bound) AS bound FROM sessions WHERE client_id = ?",
    );
    this.#byClient = file.prepare(
      `SELECT sid, arrived FROM sessions WHERE client_id = ? AND expires > ?
       ORDER BY bound DESC LIMIT 1`,
    );
    this.#byUser = file.prepare(
      "SELECT sid FROM sessions WHERE user = ? AND expires > ?",
    );
    this.#byHash = file.prepare(
      "SELECT sid FROM sessions WHERE hash = ? AND expires > ?",
    );
    this.#after = file.prepare(
      `SELECT ${COLUMNS} FROM sessions WHERE sid > ? AND expires > ?
       ORDER BY sid LIMIT ?`,
    );
    this.#versions = file.prepare(
      `SELECT sid, version FROM sessions
       WHERE sid IN (SELECT value FROM json_each(?)) AND expires > ?`,
    );
    this.#note = file.prepare(
      "INSERT OR REPLACE INTO former VALUES (?, ?, ?, ?)",
    );
    this.#former = file.prepare(
      "SELECT moved_to, at, note FROM former WHERE sid = ? AND at > ?",
    );
    this.#purgeFormer = file.prepare(
      "DELETE FROM former WHERE sid IN (SELECT sid FROM former WHERE at <= ? LIMIT ?)",
    );
  }

  /** The session, if it ends later than `after`. */
  find(sid: string, after: number): Row | undefined {
    return this.#find.get(toColumn(sid), after) as Row | undefined;
  }

  /** The same, without the data. */
  peek(sid: string, after: number): Identity | undefined {
    return this.#peek.get(toColumn(sid), after) as Identity | undefined;
  }

  /** Replaces `old`, or gives it another id, or inserts a new session; returns the version. */
  put(sid: string, record: SessionRecord, old?: Row): string {
    const version = generateUid();
    const client = nullable(record.clientId);
    this.#put.run(
      hashId(sid),
      toColumn(sid),
      old?.birth ?? version,
      version,
      record.maxAge,
      record.expires,
      record.absoluteEnd ?? null,
      record.cookie ?? null,
      client,
      old && old.client_id === client ? old.bound : this.#nextBound(client),
      record.settled ? 1 : 0,
      nullable(record.user),
      record.data,
      record.created ?? null,
      record.authenticatedAt ?? null,
      record.lastUsed ?? null,
      record.arrived ?? null,
      nullable(record.meta),
      nullable(record.handle),
    );
    return version;
  }

  /** Moves the end and the last use, never to an earlier time; returns whether there is a live session. */
  extend(sid: string, expires: number, lastUsed: number | undefined): boolean {
    const now = Date.now();
    const row = this.find(sid, now);
    if (!row) return false;
    const end = Math.min(expires, row.absolute_end ?? Infinity);
    // avoid the write lock if nothing changes; the row may have changed since it was read
    const isUsedLater = lastUsed !== undefined &&
      lastUsed > (row.last_used ?? -Infinity);
    if (end <= row.expires && !isUsedLater) return true;
    const used = lastUsed ?? null;
    return this.#extend.run(end, end, used, used, row.sid, now).changes > 0;
  }

  remove(sid: string): void {
    this.#remove.run(toColumn(sid));
  }

  /** Removes at most `limit` expired sessions, and as many expired former ids. */
  purge(limit: number): Row[] {
    const now = Date.now();
    this.#purgeFormer.run(now - MOVED_FOR, limit);
    return this.#purge.all(now - EXPIRED_GRACE, limit) as Row[];
  }

  byClient(clientId: string): string | undefined {
    return this.lastOf(clientId)?.sid;
  }

  /** The live session that was last bound to a client, and when the request arrived that began it. */
  lastOf(
    clientId: string,
  ): { sid: string; arrived: number | undefined } | undefined {
    const row = this.#byClient.get(toColumn(clientId), Date.now()) as
      | Row
      | undefined;
    return row &&
      { sid: fromColumn(row.sid), arrived: row.arrived ?? undefined };
  }

  byUser(user: string): string[] {
    const rows = this.#byUser.all(
      toColumn(user),
      Date.now(),
    ) as Row[];
    return rows.map((row) => fromColumn(row.sid));
  }

  /** The live sessions with the next ids after one, and the last of them as the next start. */
  after(
    start: string,
    limit: number,
  ): { readonly found: ScannedSession[]; readonly last: string | undefined } {
    const rows = this.#after.all(start, Date.now(), limit) as Row[];
    return {
      found: rows.map((row) => ({
        sid: fromColumn(row.sid),
        record: toRecord(row),
      })),
      last: rows.at(-1)?.sid,
    };
  }

  byHash(hash: string): string | undefined {
    return sidOf(this.#byHash.get(hash, Date.now()));
  }

  versions(sids: readonly string[]): (string | undefined)[] {
    const keys = sids.map(toColumn);
    const rows = this.#versions.all(
      JSON.stringify(keys),
      Date.now(),
    ) as Row[];
    const found = new Map(rows.map((row) => [row.sid, row.version]));
    return keys.map((key) => found.get(key));
  }

  /** Keeps a note on an id whose session was moved, or ended (`undefined`). */
  note(sid: string, to: string | undefined, note: string): void {
    this.#note.run(toColumn(sid), nullable(to), Date.now(), toColumn(note));
  }

  former(sid: string): FormerId | undefined {
    const row = this.#former.get(toColumn(sid), Date.now() - MOVED_FOR) as
      | { moved_to: string | null; at: number; note: string }
      | undefined;
    return row && {
      to: textOf(row.moved_to),
      at: row.at,
      note: fromColumn(row.note),
    };
  }

  #nextBound(client: string | null): number {
    if (client === null) return 0;
    const row = this.#lastBound.get(client) as { bound: number | null };
    return (row.bound ?? 0) + 1;
  }
}

/** The record of a row, without the store's own columns. */
export function toRecord(row: Row): StoredRecord {
  return {
    data: row.data,
    version: row.version,
    maxAge: row.max_age,
    expires: row.expires,
    absoluteEnd: row.absolute_end ?? undefined,
    cookie: row.cookie ?? undefined,
    clientId: textOf(row.client_id),
    settled: row.settled === 1,
    user: textOf(row.user),
    created: row.created ?? undefined,
    authenticatedAt: row.authenticated_at ?? undefined,
    lastUsed: row.last_used ?? undefined,
    arrived: row.arrived ?? undefined,
    meta: textOf(row.meta),
    handle: textOf(row.handle),
  };
}

function textOf(column: string | null): string | undefined {
  return column === null ? undefined : fromColumn(column);
}

function nullable(text: string | undefined): string | null {
  return text === undefined ? null : toColumn(text);
}

function sidOf(row: unknown): string | undefined {
  return row ? fromColumn((row as Row).sid) : undefined;
}
