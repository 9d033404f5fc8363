/**
 * Three-way merge of session data: the patch of one writer is applied to what
 * other writers stored since its base. Pure functions on JSON data; they never
 * touch a prototype.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { Conflict } from "../api/events.ts";
import type { SessionData } from "../api/store.ts";
import { isOwned, isStoredAs, own } from "../base/owned_json.ts";
import { hasOwn } from "../base/own_keys.ts";

/** The top-level keys that a writer changed; `undefined` means deleted. */
export type Patch = ReadonlyMap<string, unknown>;

/** Decides a key that both changed; `undefined` deletes it. */
export type Resolve = (conflict: Conflict) => unknown;

/** The result of a merge. */
export interface Merged {
  readonly data: SessionData;
  /** The keys that both changed, to different values. */
  readonly conflicts: readonly string[];
}

function valueOf(data: SessionData, key: string): unknown {
  return hasOwn(data, key) ? data[key] : undefined;
}

/** The patch that turns `base` into `mine`. */
export function diff(base: SessionData, mine: SessionData): Patch {
  const patch = new Map<string, unknown>();
  for (const key of Object.keys(mine)) {
    if (!isDeepStrictEqual(valueOf(base, key), mine[key])) {
      patch.set(key, mine[key]);
    }
  }
  for (const key of Object.keys(base)) {
    if (!hasOwn(mine, key)) patch.set(key, undefined);
  }
  return patch;
}

/**
 * Applies a patch to `theirs`. A key that only one side changed keeps that
 * change; a key that both changed to the same value is no conflict.
 *
 * @param base what the patch was made against
 * @param patch what was changed
 * @param theirs what is stored now
 * @param resolve decides a conflict
 */
export function merge(
  base: SessionData,
  patch: Patch,
  theirs: SessionData,
  resolve: Resolve,
): Merged {
  const merged = new Map<string, unknown>(Object.entries(theirs));
  const conflicts: string[] = [];
  for (const [key, mine] of patch) {
    const before = valueOf(base, key);
    const now = valueOf(theirs, key);
    let value = mine;
    if (!isDeepStrictEqual(before, now) && !isDeepStrictEqual(now, mine)) {
      conflicts.push(key);
      value = resolve({ key, base: before, mine, theirs: now });
    }
    if (value === undefined) merged.delete(key);
    else merged.set(key, value);
  }
  // fromEntries defines, it does not assign: a key `__proto__` stays a key
  return { data: Object.fromEntries(merged), conflicts };
}

/**
 * Makes `target` equal to `value`. The objects and arrays in it that were
 * parsed here are kept, so that the change is visible through references to
 * them; those of the application are replaced, or left where they are stored
 * as that value.
 */
export function assignDeep(target: object, value: object): void {
  if (Array.isArray(target)) target.length = (value as unknown[]).length;
  for (const key of Object.keys(target)) {
    if (!hasOwn(value, key)) Reflect.deleteProperty(target, key);
  }
  for (const [key, next] of Object.entries(value)) {
    const held = hasOwn(target, key) ? Reflect.get(target, key) : undefined;
    assign(target, key, held, next);
  }
}

function assign(
  target: object,
  key: string,
  held: unknown,
  next: unknown,
): void {
  if (held === next) return;
  if (alike(held, next)) {
    if (isOwned(held)) return assignDeep(held, next as object);
    if (isStoredAs(held, next)) return;
  }
  define(target, key, own(next));
}

/** Applies a patch to `target`, in place. */
export function applyPatch(target: SessionData, patch: Patch): void {
  for (const [key, next] of patch) {
    const held = valueOf(target, key);
    if (next === undefined) Reflect.deleteProperty(target, key);
    else assign(target, key, held, next);
  }
}

function define(target: object, key: string, value: unknown): void {
  if (key !== "__proto__") {
    Reflect.set(target, key, value);
    return;
  }
  Reflect.defineProperty(target, key, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}

function alike(a: unknown, b: unknown): a is object {
  return typeof a === "object" && a !== null && typeof b === "object" &&
    b !== null && Array.isArray(a) === Array.isArray(b) &&
    !(a instanceof Date);
}
