/**
 * Calls that join an outer call on the same session: one at a time, each on a
 * copy of what the outer call works on; its changes are merged into that.
 *
 * @module
 */
import { SessionEndedError, SessionTimeoutError } from "../api/errors.ts";
import { type Hold, Mutex, WaitTimeout } from "../base/mutex.ts";
import { parseOwned } from "../base/owned_json.ts";
import type { Span } from "../base/tracing.ts";
import type { TransactionDeps } from "./deps.ts";
import {
  Frame,
  mergeNested,
  type RootScope,
  serializeSession,
  TransactionScope,
} from "./scope.ts";
import type { SessionCall } from "./session_call.ts";
import type { HoldState } from "./session_lock.ts";

/** Origin of a joining call. */
export interface NestedCaller {
  readonly socket?: unknown;
  /** Present while the tracing channel has subscribers. */
  readonly span?: Span;
}

/** Runs nested calls of `withSession`. */
export class NestedCalls {
  readonly #deps: TransactionDeps;
  readonly #turns: Mutex<TransactionScope>;

  constructor(deps: TransactionDeps) {
    this.#deps = deps;
    this.#turns = new Mutex(deps.options.lockTimeout);
  }

  /**
   * Runs a handler inside a call that holds the session.
   *
   * @param parent the caller's frame in the async chain
   */
  async join(
    into: TransactionScope,
    parent: Frame | undefined,
    { handler, missing }: SessionCall,
    caller: NestedCaller,
  ): Promise<unknown> {
    const { opener, options, counts } = this.#deps;
    into.started();
    if (caller.span) caller.span.outcome = "joined";
    try {
      const hold = await this.#acquire(into);
      try {
        if (into.result === null || into.top.ended) return missing();
        const { held } = into.top;
        this.#check(held.state());
        const before = serializeSession(into.result, held.record.data);
        const scope = new TransactionScope(into, parseOwned(before));
        const frame = new Frame(scope, parent);
        let result: unknown;
        try {
          result = await opener.frames.run(
            frame,
            handler,
            scope.view(caller.socket),
          );
        } finally {
          await scope.close();
          frame.close();
        }
        if (hold.state === "lost") {
          counts.timeouts++;
          throw new SessionTimeoutError("hold", options.lockTimeout);
        }
        // what the outer call cannot write any more must not be reported as done
        if (!into.top.ended) this.#check(await into.top.held.verify());
        mergeNested(into, before, scope);
        if (scope.result === null) await this.#end(into.top);
        return result;
      } finally {
        this.#turns.release(hold);
      }
    } finally {
      into.finished();
    }
  }

  /** Throws as the outer call will, where its session has ended or was passed on. */
  #check(state: HoldState): void {
    const { counts, options } = this.#deps;
    if (state.status === "ended") throw new SessionEndedError(state.why);
    if (state.status === "lost") {
      counts.timeouts++;
      throw new SessionTimeoutError("hold", options.lockTimeout);
    }
  }

  async #acquire(into: TransactionScope): Promise<Hold<TransactionScope>> {
    const { counts, options } = this.#deps;
    if (this.#turns.waiting(into) >= options.maxWaiting) {
      counts.timeouts++;
      throw new SessionTimeoutError("queue", options.maxWaiting);
    }
    try {
      return (await this.#turns.acquire(into))!;
    } catch (error) {
      if (!(error instanceof WaitTimeout)) throw error;
      counts.timeouts++;
      throw new SessionTimeoutError("wait", options.lockTimeout);
    }
  }

  /** Ends the session at once, without waiting for the outer call. */
  async #end(top: RootScope): Promise<void> {
    if (top.ended) return;
    top.ended = true;
    const { sid, record } = top.held;
    const { termination } = this.#deps;
    let ended = false;
    try {
      ended = await termination.end(sid, "logout", { record });
    } finally {
      // not by this call: the outer one finds out what became of it
      top.ended = ended;
    }
    if (!ended) throw new SessionEndedError();
  }
}
