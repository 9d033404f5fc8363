/**
 * Ending sessions: at once, without waiting for a holder.
 *
 * @module
 */
import type { EndReason } from "../api/events.ts";
import {
  isAlive,
  type SessionRecord,
  type StoredRecord,
} from "../api/store.ts";
import { END, sourceOf } from "../base/tracing.ts";
import type { SessionLookup } from "./lookup.ts";
import type { SessionLocks } from "./session_lock.ts";
import type { SessionObserver } from "./session_observer.ts";
import type { StoreAccess } from "./store_access.ts";

/** The record of a session that is to end, where the caller has loaded it. */
export interface LoadedSession {
  readonly record?: SessionRecord;
  readonly ctx?: unknown;
}

/** Ends sessions, each one once. */
export class SessionTermination {
  readonly #store: StoreAccess;
  readonly #locks: SessionLocks;
  readonly #lookup: SessionLookup;
  readonly #observer: Pick<SessionObserver, "ended">;
  /** Rotations in progress, by the old id. */
  readonly #rotating = new Map<string, Promise<unknown>>();

  constructor(
    store: StoreAccess,
    locks: SessionLocks,
    lookup: SessionLookup,
    observer: Pick<SessionObserver, "ended">,
  ) {
    this.#store = store;
    this.#locks = locks;
    this.#lookup = lookup;
    this.#observer = observer;
  }

  /**
   * Ends a session at once, whether it is held or not.
   *
   * @returns whether it was alive and this call ended it
   */
  async end(
    sid: string,
    reason: EndReason,
    loaded: LoadedSession = {},
  ): Promise<boolean> {
    if (!END.enabled) return await this.#endOnce(sid, reason, loaded);
    return await END.run(
      sid,
      sourceOf(loaded.ctx),
      () => this.#endOnce(sid, reason, loaded),
      (ended) => ended ? reason : "missing",
    );
  }

  async #endOnce(
    sid: string,
    reason: EndReason,
    loaded: LoadedSession,
  ): Promise<boolean> {
    const rotating = this.#rotating.get(sid);
    if (rotating) return await this.#endRotated(rotating, sid, reason, loaded);
    const { terminating } = this.#store;
    const termination = terminating.get(sid);
    if (termination) {
      // resolves when the session has ended; only the first caller ended it
      await termination;
      return false;
    }
    let settle!: (ended: boolean) => void;
    terminating.set(sid, new Promise((resolve) => settle = resolve));
    let ended = false;
    try {
      return ended = await this.#end(sid, reason, loaded);
    } finally {
      settle(ended);
      terminating.delete(sid);
    }
  }

  async #end(
    sid: string,
    reason: EndReason,
    loaded: LoadedSession,
  ): Promise<boolean> {
    const { ctx } = loaded;
    // a record that was read before the end proves nothing where the store cannot
    const outdated = loaded.record !== undefined &&
      this.#store.isKnownEnded(sid);
    const record = loaded.record ?? await this.#lookup.find(sid, ctx);
    const existed = await this.#store.destroy(sid, ctx) && !outdated &&
      isAlive(record as StoredRecord | undefined);
    this.#locks.revoke(sid, reason);
    if (record && (existed || reason === "expired" && !outdated)) {
      this.#observer.ended(sid, record, reason);
    }
    return existed;
  }

  /** Removes a session whose beginning was never reported; a failure of the store is ignored. */
  async discard(sid: string, ctx: unknown): Promise<void> {
    try {
      await this.#store.destroy(sid, ctx);
    } catch {
      // no cookie with this id was sent, and the record expires
    }
  }

  /** Ends a session that is being rotated: under its new id. */
  async #endRotated(
    rotating: Promise<unknown>,
    sid: string,
    reason: EndReason,
    { ctx }: LoadedSession,
  ): Promise<boolean> {
    await rotating.catch(() => {});
    const to = await this.#lookup.movedTo(sid);
    const loaded = ctx === undefined ? {} : { ctx };
    return await this.#endOnce(to ?? sid, reason, loaded);
  }

  /** Whether a termination or a rotation of the session is in progress in this process. */
  isEnding(sid: string): boolean {
    return this.#store.terminating.has(sid) || this.#rotating.has(sid);
  }

  /**
   * Runs a rotation. A termination during it waits, and then ends the session
   * under its new id.
   *
   * @param then gets the result of `move`, and whether the session had ended before it
   */
  async duringRotation<T>(
    sid: string,
    move: () => Promise<T>,
    then: (moved: T, ended: boolean) => Promise<T>,
  ): Promise<T> {
    const termination = this.#store.terminating.get(sid);
    const ended = this.#store.isKnownEnded(sid);
    const moved = move();
    this.#rotating.set(sid, moved);
    try {
      const result = await moved;
      return await then(result, termination ? await termination : ended);
    } finally {
      this.#rotating.delete(sid);
    }
  }
}
