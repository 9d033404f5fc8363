/**
 * Moving a held session to a new id, and reporting it.
 *
 * @module
 */
import type { SessionRecord } from "../api/store.ts";
import { handleOf } from "../base/ids.ts";
import type { HeldSession, MoveOutcome, SessionLocks } from "./session_lock.ts";
import type {
  Occasion,
  SessionObserver,
  SocketRotation,
} from "./session_observer.ts";
import type { StoreAccess } from "./store_access.ts";
import type { SessionTermination } from "./termination.ts";

/** One move. */
export interface Move {
  readonly from: string;
  readonly to: string;
  readonly next: SessionRecord;
  readonly before: SessionRecord;
  readonly sockets: SocketRotation;
  readonly ctx: unknown;
  readonly occasion: Occasion;
}

/** Moves sessions. */
export class SessionMove {
  readonly #store: StoreAccess;
  readonly #locks: SessionLocks;
  readonly #termination: SessionTermination;
  readonly #observer: Pick<SessionObserver, "rotated">;

  constructor(
    store: StoreAccess,
    locks: SessionLocks,
    termination: SessionTermination,
    observer: Pick<SessionObserver, "rotated">,
  ) {
    this.#store = store;
    this.#locks = locks;
    this.#termination = termination;
    this.#observer = observer;
  }

  /**
   * Moves a session that the caller holds; it is held under the new id then.
   *
   * @throws {SessionStoreError} when the new id is in use
   */
  move(held: HeldSession, move: Move): Promise<MoveOutcome> {
    const { from, to, before, next, sockets, ctx, occasion } = move;
    const { request } = occasion;
    const record = {
      ...next,
      // the handle of an older record is derived from the id that it loses now
      handle: handleOf(from, next),
      arrived: request ? arrivalOf(next, request.arrived) : next.arrived,
    };
    const moving: Promise<MoveOutcome> = this.#termination.duringRotation(
      from,
      to,
      async (): Promise<MoveOutcome> => await held.move(to, record, sockets),
      async (outcome, ended) => {
        if (outcome.status !== "done") return outcome;
        // a termination that began before the move prevails
        if (ended) {
          this.#store.tombstones.add(to);
          await this.#store.destroy(to, ctx);
          outcome.held.release();
          return { status: "ended" };
        }
        this.#observer.rotated({
          from,
          to,
          record,
          before,
          sockets,
          ...occasion,
        });
        this.#locks.revoke(from, "rotated");
        return outcome;
      },
    );
    // at once: a call of the request may find the old id gone before this one has its answer
    request?.noteMove(from, to, moving.then(isDone, () => false));
    return moving;
  }
}

function isDone({ status }: MoveOutcome): boolean {
  return status === "done";
}

/** A rotated session counts as given to its client by the request that rotated it. */
function arrivalOf({ arrived }: SessionRecord, of: number): number {
  return Math.max(arrived ?? 0, of);
}
