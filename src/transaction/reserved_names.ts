/**
 * The names in a session that koa-session keeps to itself.
 *
 * @module
 */
import { hasOwn } from "../base/own_keys.ts";

/** Names reserved by koa-session, which drops or overwrites them without an error. */
const RESERVED = new Set([
  "maxAge",
  "isNew",
  "length",
  "populated",
  "externalKey",
  "toJSON",
  "save",
  "commit",
  "regenerate",
  "manuallyCommit",
]);

/** Whether koa-session keeps a name. */
export function isReserved(key: string): boolean {
  return key[0] === "_" || RESERVED.has(key);
}

/**
 * Checks the names in a session. One that is stored already, as koa-session
 * alone has written it, may stay: the bridge stores it as it is.
 *
 * @param before the JSON text that is stored
 * @throws {TypeError} for a name that koa-session reserves
 */
export function assertNames(session: object, before?: string): void {
  for (const key of Object.keys(session)) assertName(key, before);
}

/** Checks one name. See {@linkcode assertNames}. */
export function assertName(key: string, before?: string): void {
  if (!isReserved(key)) return;
  if (before !== undefined && hasOwn(JSON.parse(before), key)) return;
  throw new TypeError(
    `Cannot write the session as koa-session keeps the name ${
      JSON.stringify(key)
    } to itself: choose another`,
  );
}
