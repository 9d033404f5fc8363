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

/** The fields of a record other than data and times, stored as JSON in one field. */
export type Binding = Pick<
  SessionRecord,
  "maxAge" | "cookie" | "clientId" | "settled" | "user"
>;

/** The latest time of a Date: Redis accepts at most 64 bits. */
const END_OF_TIME = 8.64e15;

/** An integer as Redis parses it, never as 1e+21. */
export function whole(ms: number): string {
  return String(Math.min(Math.ceil(ms), END_OF_TIME));
}

/** The script arguments `e a m d keep`. */
export function encode(record: SessionRecord): readonly string[] {
  const { maxAge, cookie, clientId, settled, user } = record;
  return [
    String(record.expires),
    record.absoluteEnd === undefined ? "" : String(record.absoluteEnd),
    JSON.stringify({ maxAge, cookie, clientId, settled, user }),
    record.data,
    whole(record.expires + EXPIRED_GRACE),
  ];
}

/** The record from `v e a m d`; `undefined` if there is none. */
export function decode(
  fields: readonly unknown[],
): StoredRecord | undefined {
  const [version, expires, absoluteEnd, binding, data] = fields;
  if (version == null || binding == null) return undefined;
  const absolute = String(absoluteEnd);
  return {
    data: String(data),
    version: String(version),
    expires: Number(expires),
    absoluteEnd: absolute === "" ? undefined : Number(absolute),
    ...decodeBinding(binding),
  };
}

/** The binding from `m`. */
export function decodeBinding(text: unknown): Binding {
  const { maxAge, cookie, clientId, settled, user } = JSON.parse(
    String(text),
  ) as Binding;
  return { maxAge, cookie, clientId, settled, user };
}

/** A session id as part of a key: braces would change the slot of a Redis Cluster. */
export function escapeId(sid: string): string {
  return /[{}%]/.test(sid) ? sid.replace(/[{}%]/g, encodeURIComponent) : sid;
}
