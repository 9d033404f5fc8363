/**
 * A session that is open by a lease: on a store that many processes share.
 *
 * @module
 */
import type { Closed, Door, Opened } from "./door.ts";
import { SessionTimeoutError } from "./errors.ts";
import { generateUid } from "./ids.ts";
import { storeError, within } from "./in_time.ts";
import type { Acquired, SessionRecord, SharedStore } from "./store.ts";

/** How long somebody may have to wait for a lease, in ms, and is not yet counted among those who wait. */
const AT_ONCE = 50;

/** See the module's text. */
export class Leases {
  readonly #door: Pick<Door, "ask" | "waits" | "timeouts">;
  readonly #store: SharedStore;
  readonly #lockTimeout: number;
  readonly #storeTimeout: number;

  constructor(
    door: Pick<Door, "ask" | "waits" | "timeouts">,
    store: SharedStore,
    limits: { readonly lockTimeout: number; readonly storeTimeout: number },
  ) {
    this.#door = door;
    this.#store = store;
    this.#lockTimeout = limits.lockTimeout;
    this.#storeTimeout = limits.storeTimeout;
  }

  /** See {@linkcode Door.open}. */
  async open(sid: string): Promise<Opened> {
    const token = generateUid(22);
    const asked = Date.now();
    const acquired = await this.#acquire(sid, token);
    if (Date.now() - asked > AT_ONCE) this.#door.waits++;
    if (acquired.status === "missing") {
      return { missing: true, waited: acquired.waited };
    }
    if (acquired.status === "timeout") {
      this.#door.timeouts++;
      throw new SessionTimeoutError("wait", this.#lockTimeout);
    }
    let closed = false;
    return {
      sid,
      record: acquired.record,
      over: () => undefined,
      close: (record) => {
        closed = true;
        return this.#commit(sid, token, record);
      },
      release: () => {
        if (closed) return;
        closed = true;
        // nobody waits for this: a lease that is not released runs out
        Promise.resolve(
          this.#door.ask(
            "release",
            () => this.#store.commit(sid, token, undefined),
          ),
        ).catch(() => {});
      },
    };
  }

  async #acquire(sid: string, token: string): Promise<Acquired> {
    const limit = this.#lockTimeout;
    let acquiring: Promise<Acquired> | undefined;
    try {
      return await this.#door.ask(
        "read",
        () => {
          acquiring = this.#store.acquire(sid, token, limit, limit);
          return this.#heard(sid, acquiring);
        },
        limit + this.#storeTimeout,
      );
    } catch (error) {
      // granted after all, to nobody: let it go
      acquiring?.then(async (late) => {
        if (late.status === "granted") {
          await this.#store.commit(sid, token, undefined);
        }
      }).catch(() => {});
      throw error;
    }
  }

  /**
   * To wait for others looks the same as a store that says nothing: who waits
   * for long asks it something else from time to time.
   */
  async #heard(sid: string, acquiring: Promise<Acquired>): Promise<Acquired> {
    const limit = this.#storeTimeout;
    const until = Date.now() + this.#lockTimeout + limit;
    while (Date.now() < until) {
      const acquired = await within(acquiring, limit / 10);
      if (acquired) return acquired;
      const answer = Promise.race([acquiring, this.#store.versions([sid])]);
      if (!await within(answer, limit)) break;
    }
    throw storeError("read", new Error(`no answer within ${limit} ms`));
  }

  async #commit(
    sid: string,
    token: string,
    record: SessionRecord | undefined,
  ): Promise<Closed> {
    const committed = await this.#door.ask(
      "write",
      () => this.#store.commit(sid, token, record),
    );
    if (committed.status === "done") return committed;
    if (committed.status === "missing") return { status: "ended" };
    this.#door.timeouts++;
    return { status: "lost" };
  }
}
