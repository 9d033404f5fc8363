/**
 * JSON values that may be written in place: those that were parsed here.
 * Objects of the application, which it may share, freeze or give a `toJSON`,
 * are never written into.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";

/** Returns what it is given, so that a subclass adds its private field to that. */
class Given {
  constructor(value: object) {
    return value;
  }
}

/**
 * Adds a private field to an object of another class: no code can see it, and
 * an object that has it costs a quarter of an entry in a WeakSet.
 */
class Owned extends Given {
  readonly #owned = true;

  static has(value: object): boolean {
    return #owned in value;
  }
}

/** Parses JSON text; the objects and arrays in it are owned. */
export function parseOwned<T = unknown>(text: string): T {
  return own(JSON.parse(text));
}

/** Marks a value that was parsed here, with all that it contains. */
export function own<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Owned.has(value)) {
    new Owned(value);
    for (const part of Object.values(value)) {
      if (typeof part === "object" && part !== null) own(part);
    }
  }
  return value;
}

/** Whether an object may be written in place. */
export function isOwned(value: object): boolean {
  return Owned.has(value);
}

/** Whether a value of the application is stored as this JSON value. */
export function isStoredAs(value: unknown, json: unknown): boolean {
  const text = JSON.stringify(value) as string | undefined;
  return text !== undefined && isDeepStrictEqual(JSON.parse(text), json);
}
