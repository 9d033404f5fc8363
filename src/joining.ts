/**
 * Calls that join an outer call on the same session: one at a time, each on a
 * copy of what the outer one works on, and what it changed goes in there.
 *
 * @module
 */
import type { Door } from "./door.ts";
import { SessionEndedError, SessionTimeoutError } from "./errors.ts";
import { type Hold, Mutex, WaitTimeout } from "./mutex.ts";
import type { Opener } from "./opener.ts";
import {
  encode,
  type Frame,
  type RootScope,
  Scope,
  type SessionView,
  settle,
} from "./scope.ts";
import type { SessionData, SessionRecord } from "./store.ts";
import type { Span } from "./trace.ts";

/** A handler of `withSession`. */
export type Handler<R> = (
  view: SessionView<SessionData, unknown>,
) => R | Promise<R>;

/** Who joins. */
export interface Joiner {
  readonly socket?: unknown;
  /** There while somebody watches. */
  readonly span?: Span;
}

/** What joining calls work with. */
export interface JoiningParts {
  readonly door: Door;
  readonly opener: Opener;
  readonly lockTimeout: number;
  /** Ends a session that a handler destroyed; resolves to whether it was alive. */
  logout(sid: string, record: SessionRecord): Promise<boolean>;
}

/** See the module's text. */
export class Joining {
  readonly #parts: JoiningParts;
  readonly #turns: Mutex<Scope>;

  constructor(parts: JoiningParts) {
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
    into: Scope,
    parent: Frame | undefined,
    handler: Handler<R>,
    missing: () => M,
    joiner: Joiner,
  ): Promise<R | M> {
    const { door, opener, lockTimeout } = this.#parts;
    into.started();
    if (joiner.span) joiner.span.outcome = "joined";
    try {
      const hold = await this.#turn(into);
      try {
        if (into.result === null || into.top.ended) return missing();
        const before = encode(into.result);
        const scope = new Scope(into.top, JSON.parse(before));
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
        settle(into, before, scope.result);
        if (scope.result === null) await this.#end(into.top);
        return result;
      } finally {
        this.#turns.release(hold);
      }
    } finally {
      into.finished();
    }
  }

  async #turn(into: Scope): Promise<Hold<Scope>> {
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
