/**
 * Warnings about values in a session that JSON does not keep.
 *
 * @module
 */
import { WarnedOnce } from "../base/warned_once.ts";
import { isReserved } from "./reserved_names.ts";

const warned = new WarnedOnce();

/** How many values of a session are looked at. */
const MAX_VALUES = 100;

/**
 * Warns, once for each key and kind, of values that are not what a later read
 * returns: of the first hundred, those inside of others after them.
 */
export function warnOfLost(session: object): void {
  const objects: [path: string, object: object][] = [["", session]];
  let left = MAX_VALUES;
  for (const [path, object] of objects) {
    const isList = Array.isArray(object);
    for (const [key, value] of Object.entries(object)) {
      if (typeof value === "string" || typeof value === "number") continue;
      // a member of koa-session's object, or refused
      if (path === "" && isReserved(key)) continue;
      if (left-- === 0) return;
      const at = isList ? `${path}[]` : path === "" ? key : `${path}.${key}`;
      const kind = lostKind(value);
      if (kind !== undefined) warnOf(kind, at);
      else if (typeof value === "object" && value !== null) {
        objects.push([at, value]);
      }
    }
  }
}

function warnOf(kind: string, path: string): void {
  warned.warn(
    `${kind} under the key ${JSON.stringify(path)}`,
    (what) =>
      `A session was given ${what}, which JSON does not keep: the next read returns something else. Store plain objects, arrays, strings, numbers, booleans and null.`,
  );
}

/**
 * The error for a session that JSON cannot hold, with the key of the value.
 *
 * @param error what the write threw
 * @returns the error itself where no value of the session is to blame
 */
export function unwritable(error: unknown, session: unknown): unknown {
  if (!(error instanceof TypeError)) return error;
  for (const [key, value] of Object.entries(session ?? {})) {
    if (isReserved(key)) continue;
    try {
      JSON.stringify(value);
    } catch (cause) {
      // a toJSON may throw anything
      if (!(cause instanceof TypeError)) return error;
      const [reason] = cause.message.split("\n");
      return new TypeError(
        `Cannot write the session as JSON cannot hold what is under the key ${
          JSON.stringify(key)
        }: ${reason}`,
        { cause },
      );
    }
  }
  return error;
}

/** What a value is, if JSON does not keep it. */
function lostKind(value: unknown): string | undefined {
  switch (typeof value) {
    case "undefined":
      return "undefined";
    case "function":
    case "symbol":
      return `a ${typeof value}`;
    case "object":
      return value === null ? undefined : lostObject(value);
  }
}

function lostObject(value: object): string | undefined {
  if (Array.isArray(value)) return undefined;
  const prototype = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return undefined;
  const { toJSON, constructor } = value as {
    toJSON?: unknown;
    constructor?: { name?: unknown };
  };
  // it says itself what is kept
  if (typeof toJSON === "function") return undefined;
  // a plain object of another realm
  if (Object.getPrototypeOf(prototype) === null) return undefined;
  const name = constructor?.name;
  return typeof name === "string" && name !== ""
    ? `an instance of ${name}`
    : "an instance of a class";
}
