/**
 * Opening a session for one caller: where it stands in its async chain, and
 * where the session went if it was given a new id meanwhile.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { SessionGate } from "./session_gate.ts";
import { SessionStoreError } from "../api/errors.ts";
import type { SessionLookup } from "./lookup.ts";
import { findScope, type Frame, type TransactionScope } from "./scope.ts";
import type { Awaitable, StoredRecord } from "../api/store.ts";
import type { HeldSession, OpenResult } from "./session_lock.ts";

/** How often a patch is tried again before the store is thought to be unsound. */
export const MAX_TRIES = 20;

/** The error of a store that never shows the same version twice. */
export function unstableVersionError(): Error {
  return new SessionStoreError(
    "Cannot write the session as the store shows another version each time",
  );
}

/** See the module's text. */
export class SessionOpener {
  readonly frames: AsyncLocalStorage<Frame> = new AsyncLocalStorage();
  readonly #door: SessionGate;
  readonly #lookup: SessionLookup;

  constructor(door: SessionGate, lookup: SessionLookup) {
    this.#door = door;
    this.#lookup = lookup;
  }

  /** The innermost call that the caller stands in and that holds this session. */
  scopeOf(sid: string): TransactionScope | undefined {
    return findScope(this.frames.getStore(), sid);
  }

  /** Opens a session; who waited, or was under way, follows it to a new id. */
  open(sid: string, ctx: unknown, follow: boolean): Awaitable<OpenResult> {
    const opening = this.#door.open(sid, ctx);
    if (!(opening instanceof Promise) && !("missing" in opening)) {
      return this.#checked(opening);
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
    if (!("missing" in opened)) return this.#checked(opened);
    if (!(opened.waited || follow)) return opened;
    const to = await this.#lookup.movedTo(sid);
    return to === undefined ? opened : await this.open(to, ctx, true);
  }

  /** What is opened is opened for its data. */
  #checked(held: HeldSession): Awaitable<OpenResult> {
    let checking: Awaitable<StoredRecord | undefined>;
    try {
      checking = this.#lookup.validated(held.sid, held.record);
    } catch (error) {
      held.release();
      throw error;
    }
    if (checking === held.record) return held;
    return checking instanceof Promise
      ? checking.then((record) => withRecord(held, record), (error) => {
        held.release();
        throw error;
      })
      : withRecord(held, checking);
  }
}

/** A session that is open, with its record as the schema makes it. */
function withRecord(
  held: HeldSession,
  record: StoredRecord | undefined,
): OpenResult {
  if (!record) {
    held.release();
    return { missing: true, waited: false };
  }
  return {
    sid: held.sid,
    record,
    close: (next, expected) => held.close(next, expected ?? record.version),
    release: () => held.release(),
    revoked: () => held.revoked(),
  };
}
