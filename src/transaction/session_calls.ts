/**
 * Calls of `withSession`: each waits for the lock, reads, runs its handler and
 * commits what that left; a call on a session that is held up its async chain
 * joins the call that holds it.
 *
 * @module
 */
import { SessionEndedError } from "../api/errors.ts";
import type { Awaitable, StoredRecord } from "../api/store.ts";
import { isThenable } from "../base/async.ts";
import { parseOwned } from "../base/owned_json.ts";
import { type Span, TRANSACTION } from "../base/tracing.ts";
import type { TransactionDeps } from "./deps.ts";
import { type CommitSource, HandlerCommits } from "./handler_commit.ts";
import { type NestedCaller, NestedCalls } from "./nested.ts";
import { Frame, RootScope } from "./scope.ts";
import type { SessionCall } from "./session_call.ts";
import type { HeldSession, OpenResult } from "./session_lock.ts";
import type { SessionMove } from "./session_move.ts";
import type { SocketRotation } from "./session_observer.ts";

/** Origin of a transaction. */
export interface TransactionCaller extends NestedCaller, CommitSource {
  /** Client id; the call follows its session across a rotation while the session is this client's. */
  readonly clientId?: string | undefined;
  /** Carries the pending changes of a request in, and the result out. */
  readonly carry?: {
    enter(scope: RootScope): void;
    leave(
      sid: string,
      record: StoredRecord | undefined,
      rotated?: SocketRotation,
    ): void;
  };
}

/** Runs calls of `withSession`. */
export class SessionCalls {
  /** Transactions that ran. */
  count = 0;
  readonly #deps: TransactionDeps;
  readonly #nested: NestedCalls;
  readonly #commits: HandlerCommits;

  constructor(deps: TransactionDeps, move: SessionMove) {
    this.#deps = deps;
    this.#nested = new NestedCalls(deps);
    this.#commits = new HandlerCommits(deps, move);
  }

  /** Runs a handler with exclusive access to a session. */
  run(
    sid: string | undefined,
    call: SessionCall,
    caller: TransactionCaller,
  ): Promise<unknown> {
    try {
      if (!TRANSACTION.enabled) {
        return Promise.resolve(this.#run(sid, call, caller));
      }
      const from = caller.socket ? "socket" : caller.carry ? "http" : "bridge";
      const run = (span: Span) => this.#run(sid, call, { ...caller, span });
      return Promise.resolve(TRANSACTION.run(sid, from, run));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Not an async function: on a synchronous store and handler there is one promise in all. */
  #run(
    sid: string | undefined,
    call: SessionCall,
    caller: TransactionCaller,
  ): Awaitable<unknown> {
    const { span } = caller;
    if (sid === undefined) return missing(call, span);
    const frame = this.#deps.opener.frames.getStore();
    const scope = frame?.find(sid);
    if (scope) return this.#nested.join(scope, frame, call, caller);
    const started = span && performance.now();
    // a request follows a session that it has loaded, as its commit does
    const follows = caller.carry !== undefined;
    const opening = this.#deps.opener.open(sid, caller.ctx, follows);
    const opened = (result: OpenResult) => {
      if (span) span.wait = performance.now() - started!;
      return this.#opened(result, sid, frame, call, caller);
    };
    return opening instanceof Promise ? opening.then(opened) : opened(opening);
  }

  #opened(
    opened: OpenResult,
    sid: string,
    frame: Frame | undefined,
    call: SessionCall,
    caller: TransactionCaller,
  ): Awaitable<unknown> {
    if (!("missing" in opened)) {
      return this.#execute(opened, frame, call, caller);
    }
    return this.#runRotated(sid, frame, call, caller);
  }

  /** Runs a call whose session has no record under the id: it may have been rotated, by its own request or by another node. */
  async #runRotated(
    sid: string,
    frame: Frame | undefined,
    call: SessionCall,
    caller: TransactionCaller,
  ): Promise<unknown> {
    const { clientId, ctx, span } = caller;
    const own = caller.request && await caller.request.successorOf(sid);
    if (own === undefined) this.#deps.observer.missed(sid);
    const to = own ??
      (clientId === undefined
        ? undefined
        : await this.#deps.lookup.movedTo(sid));
    if (to === undefined) return missing(call, span);
    const scope = frame?.find(to);
    if (scope) return await this.#nested.join(scope, frame, call, caller);
    const opened = await this.#deps.opener.open(to, ctx, true);
    if ("missing" in opened) return missing(call, span);
    if (own === undefined && opened.record.clientId !== clientId) {
      opened.release();
      return missing(call, span);
    }
    return await this.#execute(opened, frame, call, caller);
  }

  /** Runs the handler; on a synchronous store and handler all is done when this returns. */
  #execute(
    held: HeldSession,
    parent: Frame | undefined,
    call: SessionCall,
    caller: TransactionCaller,
  ): Awaitable<unknown> {
    this.count++;
    const scope = new RootScope(held, parseOwned(held.record.data));
    const frame = new Frame(scope, parent);
    let result: unknown;
    let isAsync: boolean;
    try {
      caller.carry?.enter(scope);
      result = this.#deps.opener.frames.run(
        frame,
        call.handler,
        scope.view(caller.socket),
      );
      // a getter `then` of the result may throw
      isAsync = isThenable(result) || scope.busy;
    } catch (error) {
      return this.#finish(scope, frame, Promise.reject(error), call, caller);
    }
    if (isAsync) return this.#finish(scope, frame, result, call, caller);
    scope.open = false;
    frame.close();
    return this.#commit(scope, result, call, caller);
  }

  /** Waits for the handler and for the calls that joined it, then commits. */
  async #finish(
    scope: RootScope,
    frame: Frame,
    working: unknown,
    call: SessionCall,
    caller: TransactionCaller,
  ): Promise<unknown> {
    let result: unknown;
    try {
      result = await working;
    } catch (error) {
      await scope.close();
      frame.close();
      scope.held.release();
      throw error;
    }
    await scope.close();
    frame.close();
    return await this.#commit(scope, result, call, caller);
  }

  /** Commits what the handler left; a session that has ended by then is missing, where the call says what that means. */
  #commit(
    scope: RootScope,
    result: unknown,
    call: SessionCall,
    caller: TransactionCaller,
  ): Awaitable<unknown> {
    const { result: session } = scope;
    // a caller may change what its handler returned
    if (session && session !== result) this.#deps.lateChanges.offer(session);
    const committing = this.#commits.commit(scope, caller);
    if (!committing) {
      scope.noteStored(caller.request);
      return result;
    }
    const committed = () => {
      scope.noteStored(caller.request);
      return result;
    };
    return call.decidesEnd
      ? committing.then(committed, (error) => {
        if (error instanceof SessionEndedError) return call.missing();
        throw error;
      })
      : committing.then(committed);
  }
}

function missing(call: SessionCall, span: Span | undefined): unknown {
  if (span) span.outcome = "missing";
  return call.missing();
}
