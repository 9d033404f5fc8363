/**
 * Encodes records as the arguments of scripts, and decodes their replies.
 *
 * @module
 */
import {
  EXPIRED_GRACE,
  type SessionRecord,
  type StoredRecord,
} from "../../api/store.ts";

/** The fields of a record that change only with a write, stored as JSON in one field. */
export type Binding = Omit<
  SessionRecord,
  "data" | "expires" | "absoluteEnd" | "lastUsed"
>;

/** The fields of a record that the index uses. */
export type Indexed = Pick<
  SessionRecord,
  "maxAge" | "clientId" | "user" | "expires"
>;

/** The latest time of a Date: Redis accepts at most 64 bits. */
const END_OF_TIME = 8.64e15;

/** An integer as Redis parses it, never as 1e+21. */
export function whole(ms: number): string {
  return String(Math.min(Math.ceil(ms), END_OF_TIME));
}

/** The script arguments `e a t m d keep`. */
export function encode(record: SessionRecord): readonly string[] {
  return [
    String(record.expires),
    record.absoluteEnd === undefined ? "" : String(record.absoluteEnd),
    record.lastUsed === undefined ? "" : String(record.lastUsed),
    JSON.stringify(bindingOf(record)),
    record.data,
    whole(record.expires + EXPIRED_GRACE),
  ];
}

/** The record from `v e a t m d`; `undefined` if there is none, or none yet. */
export function decode(
  fields: readonly unknown[],
): StoredRecord | undefined {
  const [version, expires, absoluteEnd, lastUsed, binding, data] = fields;
  if (version == null || expires == null || binding == null) return undefined;
  return {
    data: String(data),
    version: String(version),
    expires: Number(expires),
    absoluteEnd: timeOf(absoluteEnd),
    lastUsed: timeOf(lastUsed),
    ...decodeBinding(binding),
  };
}

/** The binding from `m`. */
export function decodeBinding(text: unknown): Binding {
  return bindingOf(JSON.parse(String(text)) as Binding);
}

/** The binding of a record. The scripts rely on the order of the fields. */
function bindingOf(record: Binding): Binding {
  const { maxAge, cookie, clientId, settled, user } = record;
  const { created, authenticatedAt, arrived, meta, handle } = record;
  return {
    maxAge,
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

/** A text that the field `m` contains only if the session is bound to the client: quotes within its values are escaped. */
export function boundTo(clientId: string): string {
  return `"clientId":${JSON.stringify(clientId)},"settled":`;
}

/** The JSON of a note on a former id. */
export function noteOf(to: string | undefined, note: string): string {
  return JSON.stringify([to ?? null, Date.now(), note]);
}

/** A time from an optional field, which records of earlier versions lack. */
function timeOf(field: unknown): number | undefined {
  return field == null || String(field) === "" ? undefined : Number(field);
}

/** A session id as part of a key: braces would change the slot of a Redis Cluster. */
export function escapeId(sid: string): string {
  return /[{}%]/.test(sid) ? sid.replace(/[{}%]/g, encodeURIComponent) : sid;
}

/** The id from {@linkcode escapeId}. */
export function unescapeId(text: string): string {
  return text.replace(/%(?:7B|7D|25)/g, decodeURIComponent);
}
