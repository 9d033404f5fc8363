/**
 * The sessions that ended a moment ago. A store that takes its time may still
 * show them, to somebody who asked before the end, or have them back by a write
 * that was on its way: neither brings them back to life.
 *
 * @module
 */
import { TtlMap } from "../base/ttl_map.ts";

/** How long an end is remembered, in ms: longer than anybody waits for a store. */
const REMEMBERED_FOR = 60_000;

/** How many ends, and how many writes under way, are remembered at most. */
const MAX_GRAVES = 10_000;

interface Tombstone {
  /** The how manieth end it was. */
  readonly at: number;
  readonly until: number;
}

interface PendingWrites {
  count: number;
  readonly until: number;
}

/** See the module's text. */
export class Tombstones {
  readonly #graves = new TtlMap<Tombstone>(({ until }) => until, MAX_GRAVES);
  readonly #landings = new TtlMap<PendingWrites>(
    ({ until }) => until,
    MAX_GRAVES,
  );
  #ends = 0;

  /** The moment to hand to {@linkcode Tombstones.hides}: when somebody asked. */
  get clock(): number {
    return this.#ends;
  }

  /** Whether the session ended, and was not created again as far as is known. */
  has(sid: string): boolean {
    const grave = this.#graves.get(sid);
    return grave !== undefined && grave.until > Date.now();
  }

  /** A session ended, or goes on under another id. */
  add(sid: string): void {
    this.#graves.delete(sid);
    const until = Date.now() + REMEMBERED_FOR;
    this.#graves.set(sid, { at: ++this.#ends, until });
  }

  /** A session was begun under this id, which may have been another's before. */
  clear(sid: string): void {
    this.#graves.delete(sid);
  }

  /** Whether a live record is none any more, as its session ended after it was asked for. */
  hides(sid: string, moment: number): boolean {
    const grave = this.#graves.get(sid);
    if (!grave) return false;
    if (grave.at > moment || this.#landings.get(sid)) return true;
    // asked for after the end: it was created again, past the bridge or on another node
    this.clear(sid);
    return false;
  }

  /** A write is on its way. */
  writeStarted(sid: string): void {
    const landings = this.#landings.get(sid);
    if (landings) landings.count++;
    else {
      const until = Date.now() + REMEMBERED_FOR;
      this.#landings.set(sid, { count: 1, until });
    }
  }

  /** A write has landed, and was undone if need be. */
  writeSettled(sid: string): void {
    const landings = this.#landings.get(sid);
    if (landings && --landings.count === 0) this.#landings.delete(sid);
  }
}
