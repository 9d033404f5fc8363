/**
 * A session that is open by a lease: on a store that many processes share.
 *
 * @module
 */
import type { SessionGate } from "./session_gate.ts";
import { SessionTimeoutError } from "../api/errors.ts";
import { generateUid } from "../base/ids.ts";
import { toStoreError, waitAtMost } from "../base/async.ts";
import type {
  AcquireResult,
  SessionRecord,
  SharedStore,
} from "../api/store.ts";
import type { CloseResult, OpenResult } from "./session_lock.ts";

/** How long somebody may have to wait for a lease, in ms, and is not yet counted among those who wait. */
const UNCONTENDED_MS = 50;

/** See the module's text. */
export class SessionLeases {
  readonly #door: Pick<SessionGate, "call" | "waits" | "timeouts">;
  readonly #store: SharedStore;
  readonly #lockTimeout: number;
  readonly #storeTimeout: number;

  constructor(
    door: Pick<SessionGate, "call" | "waits" | "timeouts">,
    store: SharedStore,
    limits: { readonly lockTimeout: number; readonly storeTimeout: number },
  ) {
    this.#door = door;
    this.#store = store;
    this.#lockTimeout = limits.lockTimeout;
    this.#storeTimeout = limits.storeTimeout;
  }

  /** See {@linkcode SessionGate.open}. */
  async open(sid: string): Promise<OpenResult> {
    const token = generateUid(22);
    const asked = Date.now();
    const acquired = await this.#acquire(sid, token);
    if (Date.now() - asked > UNCONTENDED_MS) this.#door.waits++;
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
      revoked: () => undefined,
      close: (record) => {
        closed = true;
        return this.#commit(sid, token, record);
      },
      release: () => {
        if (closed) return;
        closed = true;
        // nobody waits for this: a lease that is not released runs out
        Promise.resolve(
          this.#door.call(
            "release",
            () => this.#store.commit(sid, token, undefined),
          ),
        ).catch(() => {});
      },
    };
  }

  async #acquire(sid: string, token: string): Promise<AcquireResult> {
    const limit = this.#lockTimeout;
    let acquiring: Promise<AcquireResult> | undefined;
    try {
      return await this.#door.call(
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
  async #heard(
    sid: string,
    acquiring: Promise<AcquireResult>,
  ): Promise<AcquireResult> {
    const limit = this.#storeTimeout;
    const until = Date.now() + this.#lockTimeout + limit;
    while (Date.now() < until) {
      const acquired = await waitAtMost(acquiring, limit / 10);
      if (acquired) return acquired;
      const answer = Promise.race([acquiring, this.#store.versions([sid])]);
      if (!await waitAtMost(answer, limit)) break;
    }
    throw toStoreError("read", new Error(`no answer within ${limit} ms`));
  }

  async #commit(
    sid: string,
    token: string,
    record: SessionRecord | undefined,
  ): Promise<CloseResult> {
    const committed = await this.#door.call(
      "write",
      () => this.#store.commit(sid, token, record),
    );
    if (committed.status === "done") return committed;
    if (committed.status === "missing") return { status: "ended" };
    this.#door.timeouts++;
    return { status: "lost" };
  }
}
