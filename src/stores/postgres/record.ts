/**
 * Records as columns. What no statement looks at is JSON in one column: every
 * further column costs time with each statement that reads or writes it.
 *
 * @module
 */
import type { SessionRecord, StoredRecord } from "../../api/store.ts";
import { fromColumn, toColumn } from "../../base/text_column.ts";

/** The columns of a record, with their types. */
export const FIELDS = {
  data: "text NOT NULL",
  details: "text NOT NULL",
  expires: "double precision NOT NULL",
  prune_after: "integer NOT NULL",
  absolute_end: "double precision",
  last_used: "double precision",
  client_id: "text",
  user_id: "text",
  arrived: "double precision",
} as const;

type Field = keyof typeof FIELDS;

/** The names of the columns of a record. */
export const FIELD_NAMES = Object.keys(FIELDS) as Field[];

/** The columns from which a record is read. */
export const READ_NAMES = [
  "version",
  "data",
  "details",
  "expires",
  "last_used",
] as const;

/** A row as it is read: PostgreSQL's text of every value. */
export type Row = Readonly<
  Record<typeof READ_NAMES[number], string | null>
>;

/** What is in the column `details`: also what has a column for conditions and indexes. */
type Details = Omit<SessionRecord, "data" | "expires" | "lastUsed">;

/** The unit of `prune_after`, in ms: an index on the very end would change with every write. */
export const PRUNE_UNIT = 600_000;

/** The largest integer of PostgreSQL's type. */
export const MAX_INTEGER = 2 ** 31 - 1;

/** The values of the columns, by name. */
export function encode(
  record: SessionRecord,
): Record<Field, string | number | null> {
  return {
    data: record.data,
    details: JSON.stringify(detailsOf(record)),
    expires: record.expires,
    prune_after: Math.min(Math.ceil(record.expires / PRUNE_UNIT), MAX_INTEGER),
    absolute_end: record.absoluteEnd ?? null,
    last_used: record.lastUsed ?? null,
    client_id: textOrNull(record.clientId),
    user_id: textOrNull(record.user),
    arrived: record.arrived ?? null,
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
    expires: Number(row.expires),
    lastUsed: row.last_used === null ? undefined : Number(row.last_used),
    ...detailsOf(JSON.parse(row.details!) as Details),
  };
}

/** JSON leaves out what is undefined; a record has it. */
function detailsOf(record: Details): Details {
  const { maxAge, absoluteEnd, cookie, clientId, settled, user } = record;
  const { created, authenticatedAt, arrived, meta, handle } = record;
  return {
    maxAge,
    absoluteEnd,
    cookie,
    clientId,
    settled,
    user,
    created,
    authenticatedAt,
    arrived,
    meta,
    handle,
  };
}

/** A text as a column that may be null. */
export function textOrNull(text: string | undefined): string | null {
  return text === undefined ? null : toColumn(text);
}

/** The text of a column that may be null. */
export function textOf(column: string | null | undefined): string | undefined {
  return column == null ? undefined : fromColumn(column);
}
