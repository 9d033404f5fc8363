/**
 * Records as columns.
 *
 * @module
 */
import type { SessionRecord, StoredRecord } from "../../api/store.ts";
import { fromColumn, toColumn } from "../../base/text_column.ts";

/** The columns of a record, with their types. A record's place among those to prune is coarse: an index on its very end would make every write change the index. */
export const FIELDS = {
  data: "text",
  max_age: "double precision",
  expires: "double precision",
  prune_after: "integer",
  absolute_end: "double precision",
  cookie: "double precision",
  client_id: "text",
  settled: "boolean",
  user_id: "text",
  created: "double precision",
  authenticated_at: "double precision",
  last_used: "double precision",
  arrived: "double precision",
  meta: "text",
  handle: "text",
} as const;

/** The names of the columns of a record. */
export const FIELD_NAMES = Object.keys(FIELDS) as (keyof typeof FIELDS)[];

/** A row as it is read: PostgreSQL's text of every value. */
export type Row = Readonly<
  Record<keyof typeof FIELDS | "version", string | null>
>;

/** The unit of `prune_after`, in ms. */
export const PRUNE_UNIT = 600_000;

/** The largest integer of PostgreSQL's type. */
export const MAX_INTEGER = 2 ** 31 - 1;

/** The values of the columns, by name. */
export function encode(
  record: SessionRecord,
): Record<keyof typeof FIELDS, string | number | boolean | null> {
  return {
    data: record.data,
    max_age: record.maxAge,
    expires: record.expires,
    prune_after: Math.min(Math.ceil(record.expires / PRUNE_UNIT), MAX_INTEGER),
    absolute_end: record.absoluteEnd ?? null,
    // JSON, which begins sessions, has no infinity
    cookie: record.cookie === "session" ? "Infinity" : record.cookie ?? null,
    client_id: textOrNull(record.clientId),
    settled: record.settled,
    user_id: textOrNull(record.user),
    created: record.created ?? null,
    authenticated_at: record.authenticatedAt ?? null,
    last_used: record.lastUsed ?? null,
    arrived: record.arrived ?? null,
    meta: textOrNull(record.meta),
    handle: textOrNull(record.handle),
  };
}

/** The values of the columns, in the order of {@linkcode FIELD_NAMES}. */
export function valuesOf(record: SessionRecord): unknown[] {
  const encoded = encode(record);
  return FIELD_NAMES.map((name) => encoded[name]);
}

/** The record of a row. */
export function decode(row: Row): StoredRecord {
  return {
    data: row.data!,
    version: row.version!,
    maxAge: Number(row.max_age),
    expires: Number(row.expires),
    absoluteEnd: timeOf(row.absolute_end),
    cookie: row.cookie === "Infinity" ? "session" : timeOf(row.cookie),
    clientId: textOf(row.client_id),
    settled: row.settled === "t",
    user: textOf(row.user_id),
    created: timeOf(row.created),
    authenticatedAt: timeOf(row.authenticated_at),
    lastUsed: timeOf(row.last_used),
    arrived: timeOf(row.arrived),
    meta: textOf(row.meta),
    handle: textOf(row.handle),
  };
}

function timeOf(column: string | null): number | undefined {
  return column === null ? undefined : Number(column);
}

function textOf(column: string | null): string | undefined {
  return column === null ? undefined : fromColumn(column);
}

/** A text as a column that may be null. */
export function textOrNull(text: string | undefined): string | null {
  return text === undefined ? null : toColumn(text);
}
