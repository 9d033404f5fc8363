/**
 * Writes whose callers have given up, in a store that cannot refuse them: each
 * keeps its session from others, whose writes it would overwrite.
 *
 * @module
 */
import type { Awaitable } from "../api/store.ts";
import { isThenable, waitAtMost } from "../base/async.ts";
import type { Hold, Mutex } from "../base/mutex.ts";
import { TtlMap } from "../base/ttl_map.ts";
import { MAX_TOMBSTONES } from "./tombstones.ts";

interface LateWrite {
  readonly hold: Hold<string>;
  /** Resolves once the store has answered it. */
  readonly over: Promise<void>;
  /** Until when it is waited for, ms since the epoch. */
  readonly until: number;
  /** Whether its caller has released the hold. */
  isReleased: boolean;
}

/** Late writes, by session: waited for until the store has answered, for another `storeTimeout` at most. */
export class LateWrites {
  readonly #mutex: Mutex<string>;
  readonly #storeTimeout: number;
  readonly #late = new TtlMap<LateWrite>(({ until }) => until, MAX_TOMBSTONES);

  constructor(mutex: Mutex<string>, storeTimeout: number) {
    this.#mutex = mutex;
    this.#storeTimeout = storeTimeout;
  }

  /**
   * Records that a write has failed for its caller.
   *
   * @param sent the store's own promise, which may settle later
   */
  note(hold: Hold<string>, sent: Awaitable<unknown>): void {
    if (!isThenable(sent)) return;
    hold.writingUntil = performance.now() + this.#storeTimeout;
    const over = () => {
      hold.writingUntil = 0;
      if (this.#late.get(hold.key) === late) this.#late.delete(hold.key);
    };
    const late: LateWrite = {
      hold,
      until: Date.now() + this.#storeTimeout,
      isReleased: false,
      over: Promise.resolve(sent).then(over, over),
    };
    this.#late.set(hold.key, late);
  }

  /** Releases a hold: after its late write, if it has one. */
  release(hold: Hold<string>): void {
    const late = this.#late.get(hold.key);
    if (late?.hold !== hold) return this.#mutex.release(hold);
    late.isReleased = true;
    late.over.then(() => this.#mutex.release(hold));
  }

  /** Resolves when no late write keeps the session any more; `undefined` where none does. */
  before(sid: string): Promise<void> | undefined {
    const late = this.#late.get(sid);
    return late && this.#wait(sid, late);
  }

  async #wait(sid: string, late: LateWrite): Promise<void> {
    await waitAtMost(late.over, Math.max(late.until - Date.now(), 0));
    if (this.#late.get(sid) !== late) return;
    this.#late.delete(sid);
    if (late.isReleased) this.#mutex.release(late.hold);
  }
}
