/**
 * Generating, hashing and validating ids.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";

/**
 * A random id in base64url, 6 bits a character.
 *
 * @param length how many characters, an integer from 1 to 1024; the default 16 are 96 bits
 * @returns the id
 * @throws {RangeError} when `length` is no integer in that range
 *
 * @example
 * ```ts
 * import { generateUid } from "@koa-io/session";
 * import { assertMatch } from "@std/assert";
 *
 * assertMatch(generateUid(24), /^[\w-]{24}$/);
 * ```
 */
export function generateUid(length: number = 16): string {
  if (!Number.isInteger(length) || length < 1 || length > 1024) {
    throw new RangeError(
      `Cannot generate an id as length must be an integer from 1 to 1024: received ${
        String(length)
      }`,
    );
  }
  // latin1 → a flat string of its own: a slice would keep its parent alive
  const text = randomBytes(Math.ceil(length * 3 / 4)).toString("base64url");
  return text.length === length ? text : flat(text.slice(0, length));
}

/**
 * A copy that shares no memory with the string it was cut out of. A part of
 * a Cookie header would otherwise keep the whole header alive.
 */
export function flat(text: string): string {
  return Buffer.from(text, "utf8").toString("utf8");
}

/** 128 bits of SHA-256: identifies a session where its id must not be exposed. */
export function hashId(id: string): string {
  return flat(createHash("sha256").update(id).digest("base64url").slice(0, 22));
}

/**
 * The handle of a session, for pages that list sessions. That of an older
 * record is derived from the id by another hash than {@linkcode hashId}, as
 * that one is shared between nodes and names rooms.
 */
export function handleOf(
  id: string,
  { handle }: { readonly handle?: string | undefined },
): string {
  return handle ?? hashId(`koa-io-session:handle:${id}`).slice(0, 16);
}

/** The longest id that is looked up; browsers cut a cookie at 4096 bytes. */
const MAX_ID_LENGTH = 4096;

/** The longest name that every object inherits: longer ids need no look-up. */
const LONGEST_INHERITED = Math.max(
  ...Object.getOwnPropertyNames(Object.prototype).map(({ length }) => length),
);

/**
 * Whether a value from outside may be looked up as an id. A store that keeps
 * its sessions in a plain object would return the prototype for `__proto__`.
 */
export function isPlausibleId(id: unknown): id is string {
  return typeof id === "string" && id.length > 0 &&
    id.length <= MAX_ID_LENGTH &&
    (id.length > LONGEST_INHERITED || !(id in Object.prototype));
}
