/**
 * Ids of recently terminated sessions. A slow read that began before the
 * termination may still return the session, and a slow write may restore it;
 * a tombstone makes both void.
 *
 * @module
 */
import { hashId } from "../base/ids.ts";
import { TtlMap } from "../base/ttl_map.ts";

/** Lifetime of a tombstone, in ms: longer than any store call is waited for. */
const TOMBSTONE_TTL = 60_000;

/** Limit of tombstones, and of sessions with writes in progress. */
export const MAX_TOMBSTONES = 10_000;

interface Tombstone {
  /** Sequence number of the termination. */
  readonly at: number;
  readonly until: number;
}

interface PendingWrites {
  count: number;
  readonly until: number;
}

/** Recently terminated session ids, ordered by a logical clock. */
export class Tombstones {
  readonly #tombstones = new TtlMap<Tombstone>(
    ({ until }) => until,
    MAX_TOMBSTONES,
  );
  readonly #pendingWrites = new TtlMap<PendingWrites>(
    ({ until }) => until,
    MAX_TOMBSTONES,
  );
  /** By hash: ids that other nodes reported as ended or moved. */
  readonly #elsewhere = new TtlMap<Tombstone>(
    ({ until }) => until,
    MAX_TOMBSTONES,
  );
  #terminations = 0;
  #latestElsewhere = 0;

  /** Logical time for {@linkcode Tombstones.hides}: taken when a read begins. */
  get clock(): number {
    return this.#terminations;
  }

  /** Whether the session ended and is not known to have been created again. */
  has(sid: string): boolean {
    const tombstone = this.#tombstones.get(sid);
    return tombstone !== undefined && tombstone.until > Date.now();
  }

  /** Records that a session ended, or continues under another id. */
  add(sid: string): void {
    this.#tombstones.delete(sid);
    const until = Date.now() + TOMBSTONE_TTL;
    this.#tombstones.set(sid, { at: ++this.#terminations, until });
  }

  /** Records that another node reported the end of an id, by its hash: reads in progress are outdated. */
  addElsewhere(hash: string): void {
    this.#elsewhere.delete(hash);
    const until = Date.now() + TOMBSTONE_TTL;
    const at = this.#latestElsewhere = ++this.#terminations;
    this.#elsewhere.set(hash, { at, until });
  }

  /** Records that a session was created under this id. */
  clear(sid: string): void {
    this.#tombstones.delete(sid);
  }

  /** Whether a live record is void, as its session ended after the read began at `since`. */
  hides(sid: string, since: number): boolean {
    if (this.#endedElsewhere(sid, since)) return true;
    const tombstone = this.#tombstones.get(sid);
    if (!tombstone) return false;
    if (tombstone.at > since || this.#pendingWrites.get(sid)) return true;
    // the read began after the end: the id was created again, without the bridge or on another node
    this.clear(sid);
    return false;
  }

  #endedElsewhere(sid: string, since: number): boolean {
    return this.#latestElsewhere > since &&
      (this.#elsewhere.get(hashId(sid))?.at ?? 0) > since;
  }

  /** Records that a write of the session was sent to the store. */
  writeStarted(sid: string): void {
    const writes = this.#pendingWrites.get(sid);
    if (writes) writes.count++;
    else {
      const until = Date.now() + TOMBSTONE_TTL;
      this.#pendingWrites.set(sid, { count: 1, until });
    }
  }

  /** Whether a write of the session is in progress. */
  isWriting(sid: string): boolean {
    return this.#pendingWrites.get(sid) !== undefined;
  }

  /** Records that a write was answered, and was undone where necessary. */
  writeSettled(sid: string): void {
    const writes = this.#pendingWrites.get(sid);
    if (writes && --writes.count === 0) this.#pendingWrites.delete(sid);
  }
}
