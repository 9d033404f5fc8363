/**
 * Versions in a store that has none: the text of the object, after the moment
 * of the write or read that found it. A session is compared by another read.
 *
 * @module
 */
import type { Awaitable, SessionData, Version } from "../../api/store.ts";
import { SessionStoreError } from "../../api/errors.ts";
import { chain } from "../../base/async.ts";
import { isSession } from "../koa_session_object.ts";
import type { WriteClock } from "./write_clock.ts";

/** How many reads in a row that all differ make a store unusable. */
const UNSTABLE_READS = 4;

/** Whether a session still has an expected version. */
export type Currency = "current" | "missing" | "lost";

/** Compares sessions with versions. */
export class VersionCheck {
  readonly #writes: WriteClock;
  readonly #get: (sid: string, ctx: unknown) => Awaitable<unknown>;
  /**
   * Whether the store has reported a removal, so that a write needs no read
   * before it. That it has `on` proves nothing: emitters of other events have too.
   */
  #hasReported = false;

  /** @param get reads the object of a session */
  constructor(
    writes: WriteClock,
    get: (sid: string, ctx: unknown) => Awaitable<unknown>,
  ) {
    this.#writes = writes;
    this.#get = get;
  }

  /** Records that the store has reported a removal. */
  reported(): void {
    this.#hasReported = true;
  }

  /**
   * Compares a session with a version that a read or a write returned.
   *
   * @throws {SessionStoreError} when each read returns another object
   */
  compare(sid: string, expected: Version, ctx: unknown): Awaitable<Currency> {
    const version = String(expected);
    const gap = version.indexOf(" ");
    if (this.#hasReported && !this.#writes.since(sid, momentOf(version))) {
      return "current";
    }
    const began = this.#writes.now;
    return chain(this.#get(sid, ctx), (found) => {
      if (!isSession(found)) return "missing";
      // the caller may have given up, and another may have written, during a slow read
      if (this.#writes.since(sid, began)) return "lost";
      if (JSON.stringify(found) === version.slice(gap + 1)) return "current";
      return this.#checkStable(sid, [found], ctx);
    });
  }

  /** Reads a session until two reads in a row agree: another process has written it. */
  #checkStable(
    sid: string,
    reads: readonly SessionData[],
    ctx: unknown,
  ): Awaitable<Currency> {
    const last = reads.at(-1)!;
    if (reads.length === UNSTABLE_READS) throw unstable(reads[0]!, last);
    return chain(this.#get(sid, ctx), (found) => {
      if (!isSession(found)) return "missing";
      return JSON.stringify(found) === JSON.stringify(last)
        ? "lost"
        : this.#checkStable(sid, [...reads, found], ctx);
    });
  }
}

/** The time of the write that a version begins with. */
export function momentOf(version: Version): number {
  return Number.parseInt(String(version));
}

/** The error for a store whose objects are others at each read. */
function unstable(first: SessionData, last: SessionData): SessionStoreError {
  const keys = Object.keys({ ...first, ...last }).filter((key) =>
    JSON.stringify(first[key]) !== JSON.stringify(last[key])
  );
  return new SessionStoreError(
    `Cannot use the store as get must return what set was given: received another object at each of ${UNSTABLE_READS} reads, with changes under the keys ${
      keys.map((key) => JSON.stringify(key)).join(", ")
    }. Keep times of access beside the session, not in it`,
  );
}
