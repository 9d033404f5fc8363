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
import { MAX_MOVES, type SessionLookup } from "./lookup.ts";
import type { RequestOrigin } from "./request_origin.ts";
import type { SessionLocks } from "./session_lock.ts";
import type { SessionObserver } from "./session_observer.ts";
import type { StoreAccess } from "./store_access.ts";

/** How long ago a rotation on another node may have been that this node has not learnt of, in ms. */
const UNNOTICED_FOR = 10_000;

/** The circumstances of a termination. */
export interface EndOptions {
  /** The record, where the caller has loaded it. */
  readonly record?: SessionRecord;
  readonly ctx?: unknown;
  /** The request that ends the session. */
  readonly request?: RequestOrigin;
  /**
   * Which rotations to follow, where the session turns out to be moved: all
   * (the default), those that sockets followed, or none.
   */
  readonly follow?: "all" | "followed" | "none";
  /** Whether a session found under a new id is the one to end; left out, it is. */
  readonly isMeant?: (record: SessionRecord) => boolean;
}

/** Ends sessions, each one once. */
export class SessionTermination {
  readonly #store: StoreAccess;
  readonly #locks: SessionLocks;
  readonly #lookup: SessionLookup;
  readonly #observer: Pick<SessionObserver, "ended" | "gone" | "unsettled">;
  /** Rotations in progress, by the old id and by the new one. */
  readonly #rotating = new Map<string, Promise<void>>();

  constructor(
    store: StoreAccess,
    locks: SessionLocks,
    lookup: SessionLookup,
    observer: Pick<SessionObserver, "ended" | "gone" | "unsettled">,
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
    options: EndOptions = {},
  ): Promise<boolean> {
    if (!END.enabled) return await this.#endOnce(sid, reason, options);
    return await END.run(
      sid,
      sourceOf(options.ctx),
      () => this.#endOnce(sid, reason, options),
      (ended) => ended ? reason : "missing",
    );
  }

  async #endOnce(
    sid: string,
    reason: EndReason,
    options: EndOptions,
    moves = 0,
  ): Promise<boolean> {
    // at the time of the call: during the waits below another call may rotate it
    const began = Date.now();
    const wasEnded = this.#store.tombstones.has(sid);
    const rotating = this.#rotating.get(sid);
    if (rotating) {
      await rotating;
      const ended = await this.#endMoved(sid, reason, options, moves);
      if (ended === true) return true;
    }
    const { terminating } = this.#store;
    for (let other; (other = terminating.get(sid)) !== undefined;) {
      // only its own caller ended it; one that failed is tried again
      if (await other) return false;
    }
    let settle!: (ended: boolean) => void;
    terminating.set(sid, new Promise((resolve) => settle = resolve));
    let ended: boolean | "moved" | "missing" | undefined;
    try {
      ended = await this.#end(sid, reason, options, wasEnded);
    } finally {
      settle(ended === true);
      terminating.delete(sid);
      // an expiry is noticed again
      if (ended === undefined && reason !== "expired") {
        this.#observer.unsettled(sid);
      }
    }
    // under an id that the session was found to have moved to, it may have moved on
    if (ended === false && moves > 0 && reason !== "expired") ended = "missing";
    if (typeof ended === "boolean") return ended;
    const since = ended === "moved" || moves > 0 ? 0 : began - UNNOTICED_FOR;
    const result = await this.#endMoved(sid, reason, options, moves, since);
    if (result !== "unmoved") return result;
    // ended elsewhere, or by a call whose answer was lost
    this.#observer.gone(sid, reason, { request: options.request });
    return false;
  }

  /**
   * @param wasEnded whether this process knew of an end, or a rotation, when it was called
   * @returns `"moved"` when the session was alive before, and another caller
   * removed it; `"missing"` when the store has none, and this node has not
   * learnt of its end
   */
  async #end(
    sid: string,
    reason: EndReason,
    options: EndOptions,
    wasEnded: boolean,
  ): Promise<boolean | "moved" | "missing"> {
    const { ctx, request } = options;
    const isUnknown = options.record === undefined && !wasEnded;
    // what the caller has loaded may have been prolonged since
    const loaded = options.record && reason !== "expired" &&
        !isAlive(options.record as StoredRecord)
      ? undefined
      : options.record;
    // a record that was read before the end proves nothing where the store cannot
    const outdated = loaded !== undefined && this.#store.isKnownEnded(sid);
    const record = loaded ?? await this.#lookup.find(sid, ctx);
    const wasAlive = isAlive(record as StoredRecord | undefined);
    const alive = wasAlive && !outdated;
    const note = reason === "replaced" ? reason : undefined;
    const existed = await this.#store.destroy(sid, ctx, note) && alive;
    this.#locks.revoke(sid, reason);
    if (record && (existed || reason === "expired" && !outdated)) {
      this.#observer.ended(sid, record, reason, { request });
    }
    if (existed) return true;
    if (reason === "expired") return false;
    return wasAlive ? "moved" : isUnknown && "missing";
  }

  /**
   * Ends a session under the id that it was moved to, if it was moved and not ended.
   *
   * @param since earlier moves are not followed, ms since the epoch
   * @returns whether this call ended it; `"unmoved"` when it was not moved
   */
  async #endMoved(
    sid: string,
    reason: EndReason,
    options: EndOptions,
    moves: number,
    since = 0,
  ): Promise<boolean | "unmoved"> {
    const { ctx, request, follow = "all", isMeant } = options;
    if (follow === "none" || moves === MAX_MOVES) return false;
    const former = await this.#lookup.former(sid);
    if (former?.to === undefined) return "unmoved";
    if (former.at < since) return false;
    if (follow === "followed" && former.note !== "follow") return false;
    if (isMeant) {
      const record = await this.#lookup.find(former.to, ctx);
      if (isAlive(record) && !isMeant(record)) return false;
    }
    const { record: _, ...rest } = options;
    const ended = await this.#endOnce(former.to, reason, rest, moves + 1);
    // this node may not have learnt of the move yet
    if (ended) this.#observer.gone(sid, reason, { request });
    return ended;
  }

  /** Waits for the termination and the rotation of the session that are in progress in this process. */
  async settled(sid: string): Promise<void> {
    await this.#rotating.get(sid);
    await this.#store.terminating.get(sid);
  }

  /** Whether a termination or a rotation of the session is in progress in this process. */
  isEnding(sid: string): boolean {
    return this.#store.terminating.has(sid) || this.#rotating.has(sid);
  }

  /** Whether a rotation of this process gives a session this id, or takes it away. */
  isRotating(sid: string): boolean {
    return this.#rotating.has(sid);
  }

  /**
   * Runs a rotation. A termination during it waits, by either id, and then ends
   * the session under its new id.
   *
   * @param then gets the result of `move`, and whether the session had ended before it
   */
  async duringRotation<T>(
    from: string,
    to: string,
    move: () => Promise<T>,
    then: (moved: T, ended: boolean) => Promise<T>,
  ): Promise<T> {
    const termination = this.#store.terminating.get(from);
    const ended = this.#store.isKnownEnded(from);
    let settle!: () => void;
    const own = new Promise<void>((resolve) => settle = resolve);
    // an overdue one may still be in progress
    const other = this.#rotating.get(from);
    const rotating = other ? Promise.all([other, own]).then(() => {}) : own;
    const forget = () => {
      for (const sid of [from, to]) {
        if (this.#rotating.get(sid) === rotating) this.#rotating.delete(sid);
      }
    };
    // before the move: a synchronous store reports the removal of the old id during it
    this.#rotating.set(from, rotating);
    this.#rotating.set(to, rotating);
    try {
      const result = await move();
      return await then(result, termination ? await termination : ended);
    } finally {
      if (other) rotating.then(forget);
      else forget();
      settle();
    }
  }
}
