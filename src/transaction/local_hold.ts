/**
 * A session that is held in this process.
 *
 * @module
 */
import type {
  Awaitable,
  SessionRecord,
  StoredRecord,
  Version,
} from "../api/store.ts";
import type { Hold } from "../base/mutex.ts";
import type {
  CloseResult,
  HeldSession,
  HoldState,
  MoveOutcome,
} from "./session_lock.ts";

/** What a held session does, for all of them: closures for each cost more than the lock. */
export interface HoldOperations {
  release(hold: Hold<string>): void;
  stateOf(hold: Hold<string>): HoldState;
  close(
    held: LocalHold,
    next: SessionRecord | undefined,
    expected: Version,
  ): Awaitable<CloseResult>;
  move(
    held: LocalHold,
    to: string,
    next: SessionRecord,
    note: string,
  ): Awaitable<MoveOutcome>;
}

/** A session that is held in this process. */
export class LocalHold implements HeldSession {
  readonly #operations: HoldOperations;

  constructor(
    operations: HoldOperations,
    readonly hold: Hold<string>,
    readonly record: StoredRecord,
    readonly ctx: unknown,
  ) {
    this.#operations = operations;
  }

  get sid(): string {
    return this.hold.key;
  }

  close(
    next?: SessionRecord,
    expected: Version = this.record.version,
  ): Awaitable<CloseResult> {
    return this.#operations.close(this, next, expected);
  }

  move(
    to: string,
    next: SessionRecord,
    note: string,
  ): Awaitable<MoveOutcome> {
    return this.#operations.move(this, to, next, note);
  }

  release(): void {
    this.#operations.release(this.hold);
  }

  state(): HoldState {
    return this.#operations.stateOf(this.hold);
  }

  verify(): HoldState {
    return this.state();
  }
}
