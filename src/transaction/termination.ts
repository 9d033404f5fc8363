/**
 * How sessions end: at once, whoever is at work on them.
 *
 * @module
 */
import type { SessionGate } from "./session_gate.ts";
import type { EndReason } from "../api/events.ts";
import type { SessionLookup } from "./lookup.ts";
import {
  isAlive,
  type SessionRecord,
  type StoredRecord,
} from "../api/store.ts";
import { END, sourceOf } from "../base/tracing.ts";

/** What is known of a session that is to end. */
export interface KnownSession {
  readonly record?: SessionRecord;
  readonly ctx?: unknown;
}

/** See the module's text. */
export class SessionTermination {
  readonly #door: SessionGate;
  readonly #lookup: SessionLookup;
  readonly #ended: (
    sid: string,
    record: SessionRecord,
    reason: EndReason,
  ) => void;
  readonly #moving = new Map<string, Promise<unknown>>();

  /** @param ended is told of each session that ended, before the call that ended it resolves */
  constructor(
    door: SessionGate,
    lookup: SessionLookup,
    ended: (sid: string, record: SessionRecord, reason: EndReason) => void,
  ) {
    this.#door = door;
    this.#lookup = lookup;
    this.#ended = ended;
  }

  /**
   * Ends a session at once, whoever holds it.
   *
   * @returns whether there was one alive that this call ended
   */
  async end(
    sid: string,
    reason: EndReason,
    known: KnownSession = {},
  ): Promise<boolean> {
    if (!END.enabled) return await this.#endOnce(sid, reason, known);
    return await END.run(
      sid,
      sourceOf(known.ctx),
      () => this.#endOnce(sid, reason, known),
      (ended) => ended ? reason : "missing",
    );
  }

  async #endOnce(
    sid: string,
    reason: EndReason,
    known: KnownSession,
  ): Promise<boolean> {
    const moving = this.#moving.get(sid);
    if (moving) return await this.#endMoved(moving, sid, reason, known.ctx);
    const ending = this.#door.terminating.get(sid);
    if (ending) {
      // acknowledged when it is true, and to the first one only
      await ending;
      return false;
    }
    let settle!: (ended: boolean) => void;
    this.#door.terminating.set(sid, new Promise((resolve) => settle = resolve));
    let ended = false;
    try {
      return ended = await this.#end(sid, reason, known);
    } finally {
      settle(ended);
      this.#door.terminating.delete(sid);
    }
  }

  async #end(
    sid: string,
    reason: EndReason,
    known: KnownSession,
  ): Promise<boolean> {
    const { ctx } = known;
    // what a caller had read before the end is no proof where the store gives none
    const outdated = known.record !== undefined && this.#door.takesTurns &&
      this.#door.tombstones.has(sid);
    const record = known.record ?? await this.#lookup.find(sid, ctx);
    const existed = await this.#door.call(
      "destroy",
      (records) => records.destroy(sid, undefined, ctx),
    ) && !outdated && isAlive(record as StoredRecord | undefined);
    this.#door.revoke(sid, reason);
    if (record && (existed || reason === "expired" && !outdated)) {
      this.#ended(sid, record, reason);
    }
    return existed;
  }

  /** Takes back what was begun and nobody has heard of, as far as the store lets. */
  async discard(sid: string, ctx: unknown): Promise<void> {
    try {
      await this.#door.call(
        "destroy",
        (records) => records.destroy(sid, undefined, ctx),
      );
    } catch {
      // the store is away: the session ends by itself, and nobody has its cookie
    }
  }

  /** Ends a session that is being given a new id right now: under the new one. */
  async #endMoved(
    moving: Promise<unknown>,
    sid: string,
    reason: EndReason,
    ctx: unknown,
  ): Promise<boolean> {
    await moving.catch(() => {});
    const to = await this.#lookup.movedTo(sid);
    const found = ctx === undefined ? {} : { ctx };
    return await this.#endOnce(to ?? sid, reason, found);
  }

  /** Whether this process is ending the session right now. */
  isEnding(sid: string): boolean {
    return this.#door.terminating.has(sid) || this.#moving.has(sid);
  }

  /**
   * Runs a change of id: an end that comes meanwhile waits for it, and ends
   * the session under its new id.
   *
   * @returns what `move` came to, and whether an end was under way before it began
   */
  async duringRotation<T>(
    sid: string,
    move: () => Promise<T>,
    then: (moved: T, ended: boolean) => Promise<T>,
  ): Promise<T> {
    const { terminating: ends, tombstones: graves, takesTurns } = this.#door;
    const ending = ends.get(sid);
    // only who holds it knew it alive, and the store does not tell
    const dead = takesTurns && graves.has(sid);
    const moved = move();
    this.#moving.set(sid, moved);
    try {
      const result = await moved;
      return await then(result, ending ? await ending : dead);
    } finally {
      this.#moving.delete(sid);
    }
  }
}
