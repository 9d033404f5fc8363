/**
 * Opening a session for one caller: the transaction that the caller runs in,
 * and the session's new id if it was rotated during the wait.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { SessionStoreError } from "../api/errors.ts";
import type { Awaitable, StoredRecord } from "../api/store.ts";
import { chain, onFailure } from "../base/async.ts";
import type { SessionLookup } from "./lookup.ts";
import type { Frame, TransactionScope } from "./scope.ts";
import type { HeldSession, OpenResult, SessionLocks } from "./session_lock.ts";

/** Limit of attempts to write a patch onto a version that keeps changing. */
export const MAX_TRIES = 20;

/** The error for a store that returns another version at each read. */
export function unstableVersionError(): Error {
  return new SessionStoreError(
    "Cannot write the session as the store shows another version each time",
  );
}

/** Opens sessions under the lock, and finds the transaction that a caller is in. */
export class SessionOpener {
  readonly frames: AsyncLocalStorage<Frame> = new AsyncLocalStorage();
  readonly #locks: SessionLocks;
  readonly #lookup: SessionLookup;

  constructor(locks: SessionLocks, lookup: SessionLookup) {
    this.#locks = locks;
    this.#lookup = lookup;
  }

  /** The innermost running call up the async chain that holds this session. */
  scopeOf(sid: string): TransactionScope | undefined {
    return this.frames.getStore()?.find(sid);
  }

  /**
   * Opens a session.
   *
   * @param follow whether to open it under its new id if it was rotated before
   * the call; a rotation during the wait is followed in any case
   */
  open(sid: string, ctx: unknown, follow: boolean): Awaitable<OpenResult> {
    const opening = this.#locks.open(sid, ctx);
    if (!(opening instanceof Promise) && !("missing" in opening)) {
      return this.#validated(opening);
    }
    return this.#follow(opening, sid, ctx, follow);
  }

  async #follow(
    opening: Awaitable<OpenResult>,
    sid: string,
    ctx: unknown,
    follow: boolean,
  ): Promise<OpenResult> {
    const opened = await opening;
    if (!("missing" in opened)) return this.#validated(opened);
    if (!(opened.waited || follow)) return opened;
    const to = await this.#lookup.movedTo(sid);
    return to === undefined ? opened : await this.open(to, ctx, true);
  }

  #validated(held: HeldSession): Awaitable<OpenResult> {
    if (!this.#lookup.validates) return held;
    return onFailure(
      () =>
        chain(
          this.#lookup.validated(held.sid, held.record),
          (record) => withRecord(held, record),
        ),
      () => held.release(),
    );
  }
}

/** The held session with the record that the schema made of its own. */
function withRecord(
  held: HeldSession,
  record: StoredRecord | undefined,
): OpenResult {
  if (record === held.record) return held;
  if (!record) {
    held.release();
    return { missing: true, waited: false };
  }
  return {
    sid: held.sid,
    record,
    close: (next, expected) => held.close(next, expected ?? record.version),
    move: (to, next, note) => held.move(to, next, note),
    release: () => held.release(),
    state: () => held.state(),
    verify: () => held.verify(),
  };
}
