/**
 * Opening a session for one caller: where it stands in its async chain, and
 * where the session went if it was given a new id meanwhile.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Door, Held, Opened } from "./door.ts";
import { SessionStoreError } from "./errors.ts";
import type { Lookup } from "./lookup.ts";
import { findScope, type Frame, type Scope } from "./scope.ts";
import type { Awaitable, StoredRecord } from "./store.ts";

/** How often a patch is tried again before the store is thought to be unsound. */
export const MAX_TRIES = 20;

/** The error of a store that never shows the same version twice. */
export function unsound(): Error {
  return new SessionStoreError(
    "Cannot write the session as the store shows another version each time",
  );
}

/** See the module's text. */
export class Opener {
  readonly frames: AsyncLocalStorage<Frame> = new AsyncLocalStorage();
  readonly #door: Door;
  readonly #lookup: Lookup;

  constructor(door: Door, lookup: Lookup) {
    this.#door = door;
    this.#lookup = lookup;
  }

  /** The innermost call that the caller stands in and that holds this session. */
  scopeOf(sid: string): Scope | undefined {
    return findScope(this.frames.getStore(), sid);
  }

  /** Opens a session; who waited, or was under way, follows it to a new id. */
  open(sid: string, ctx: unknown, follow: boolean): Awaitable<Opened> {
    const opening = this.#door.open(sid, ctx);
    if (!(opening instanceof Promise) && !("missing" in opening)) {
      return this.#checked(opening);
    }
    return this.#follow(opening, sid, ctx, follow);
  }

  async #follow(
    opening: Awaitable<Opened>,
    sid: string,
    ctx: unknown,
    follow: boolean,
  ): Promise<Opened> {
    const opened = await opening;
    if (!("missing" in opened)) return this.#checked(opened);
    if (!(opened.waited || follow)) return opened;
    const to = await this.#lookup.movedTo(sid);
    return to === undefined ? opened : await this.open(to, ctx, true);
  }

  /** What is opened is opened for its data. */
  #checked(held: Held): Awaitable<Opened> {
    let checking: Awaitable<StoredRecord | undefined>;
    try {
      checking = this.#lookup.checked(held.sid, held.record);
    } catch (error) {
      held.release();
      throw error;
    }
    if (checking === held.record) return held;
    return checking instanceof Promise
      ? checking.then((record) => known(held, record), (error) => {
        held.release();
        throw error;
      })
      : known(held, checking);
  }
}

/** A session that is open, with its record as the schema makes it. */
function known(held: Held, record: StoredRecord | undefined): Opened {
  if (!record) {
    held.release();
    return { missing: true, waited: false };
  }
  return {
    sid: held.sid,
    record,
    close: (next, expected) => held.close(next, expected ?? record.version),
    release: () => held.release(),
    over: () => held.over(),
  };
}
