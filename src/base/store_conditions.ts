/**
 * Conditions of the store contract, for stores that check them in JavaScript.
 *
 * @module
 */
import {
  type BeginOptions,
  type BeginResult,
  type FormerId,
  MOVED_FOR,
  type SessionRecord,
} from "../api/store.ts";

/** Why a session may not begin. */
export type Refusal = Extract<
  BeginResult,
  { readonly status: "superseded" | "occupied" }
>;

/**
 * Why a session may not take its client from a live one that is bound to it,
 * or `undefined` where it may. A later arrival comes first: it also counts for
 * a session that may be replaced.
 *
 * @param before the id of the client's live session
 * @param arrived when the request arrived that began that one
 */
export function refusalOf(
  record: SessionRecord,
  { replaces }: BeginOptions,
  before: string,
  arrived: number | undefined,
): Refusal | undefined {
  if (
    arrived !== undefined && record.arrived !== undefined &&
    arrived > record.arrived
  ) {
    return { status: "superseded" };
  }
  return replaces !== undefined && !replaces.includes(before)
    ? { status: "occupied", before }
    : undefined;
}

/** Whether a former id is still to be found. */
export function isRecent({ at }: FormerId, now: number): boolean {
  return at + MOVED_FOR > now;
}
