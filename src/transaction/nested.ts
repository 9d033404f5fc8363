/**
 * Calls that join an outer call on the same session: one at a time, each on a
 * copy of what the outer one works on, and what it changed goes in there.
 *
 * @module
 */
import type { SessionGate } from "./session_gate.ts";
import { SessionEndedError, SessionTimeoutError } from "../api/errors.ts";
import { type Hold, Mutex, WaitTimeout } from "../base/mutex.ts";
import type { SessionOpener } from "./opener.ts";
import {
  type Frame,
  mergeNested,
  type RootScope,
  serializeSession,
  TransactionScope,
} from "./scope.ts";
import type { SessionData, SessionRecord } from "../api/store.ts";
import type { Span } from "../base/tracing.ts";
import type { SessionView } from "../api/session_view.ts";

/** A handler of `withSession`. */
export type Handler<R> = (
  view: SessionView<SessionData, unknown>,
) => R | Promise<R>;

/** Who joins. */
export interface NestedCaller {
  readonly socket?: unknown;
  /** There while somebody watches. */
  readonly span?: Span;
}

/** What joining calls work with. */
export interface NestedCallDeps {
  readonly door: SessionGate;
  readonly opener: SessionOpener;
  readonly lockTimeout: number;
  /** Ends a session that a handler destroyed; resolves to whether it was alive. */
  logout(sid: string, record: SessionRecord): Promise<boolean>;
}

/** See the module's text. */
export class NestedCalls {
  readonly #parts: NestedCallDeps;
  readonly #turns: Mutex<TransactionScope>;

  constructor(parts: NestedCallDeps) {
    this.#parts = parts;
    this.#turns = new Mutex(parts.lockTimeout);
  }

  /**
   * Runs a handler inside a call that holds the session.
   *
   * @param parent where the caller stands in its async chain
   * @param missing what to do when the session was destroyed meanwhile
   */
  async join<R, M>(
    into: TransactionScope,
    parent: Frame | undefined,
    handler: Handler<R>,
    missing: () => M,
    joiner: NestedCaller,
  ): Promise<R | M> {
    const { door, opener, lockTimeout } = this.#parts;
    into.started();
    if (joiner.span) joiner.span.outcome = "joined";
    try {
      const hold = await this.#turn(into);
      try {
        if (into.result === null || into.top.ended) return missing();
        const before = serializeSession(into.result);
        const scope = new TransactionScope(into.top, JSON.parse(before));
        let result: R;
        try {
          result = await opener.frames.run(
            { scope, parent },
            handler,
            scope.view(joiner.socket),
          );
        } finally {
          await scope.close();
        }
        if (hold.state === "lost") {
          door.timeouts++;
          throw new SessionTimeoutError("hold", lockTimeout);
        }
        mergeNested(into, before, scope.result);
        if (scope.result === null) await this.#end(into.top);
        return result;
      } finally {
        this.#turns.release(hold);
      }
    } finally {
      into.finished();
    }
  }

  async #turn(into: TransactionScope): Promise<Hold<TransactionScope>> {
    try {
      return (await this.#turns.acquire(into))!;
    } catch (error) {
      if (!(error instanceof WaitTimeout)) throw error;
      this.#parts.door.timeouts++;
      throw new SessionTimeoutError("wait", this.#parts.lockTimeout);
    }
  }

  /** Ending never waits, not even for the call that was joined. */
  async #end(top: RootScope): Promise<void> {
    if (top.ended) return;
    top.ended = true;
    const { sid, record } = top.held;
    if (!await this.#parts.logout(sid, record)) throw new SessionEndedError();
  }
}
