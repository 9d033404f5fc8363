/**
 * The one door that every write goes through, from HTTP or from a socket, in
 * this process or another: wait, read, let the handler work, see what it
 * changed, write that if nobody ended or took the session meanwhile, tell.
 *
 * @module
 */
import { type Closed, Door, type Held, type Records } from "./door.ts";
import { binding, type Commit, Editor, type EditorOptions } from "./editor.ts";
import { Ending, type KnownSession } from "./ending.ts";
import { SessionEndedError, SessionTimeoutError } from "./errors.ts";
import type { EndReason, SessionConflict } from "./events.ts";
import { isThenable } from "./in_time.ts";
import { Lookup } from "./lookup.ts";
import { missingPolicy } from "./missing.ts";
import { Mutex, WaitTimeout } from "./mutex.ts";
import { MAX_TRIES, Opener, unsound } from "./opener.ts";
import { diff } from "./patch.ts";
import { type Committed, Requests } from "./requests.ts";
import { type Rotation, type RotationParts, Rotations } from "./rotation.ts";
import {
  encode,
  findScope,
  type Frame,
  RootScope,
  Scope,
  type SessionView,
  settle,
} from "./scope.ts";
import { SchemaGuard, type SessionSchema } from "./schema.ts";
import type {
  Awaitable,
  SessionData,
  SessionRecord,
  StoredRecord,
  Version,
} from "./store.ts";
import { COMMIT, type Span, TRANSACTION } from "./trace.ts";

/** What the door needs to know of the options. */
export interface TransactionOptions extends EditorOptions {
  readonly lockTimeout: number;
  readonly storeTimeout: number;
  readonly absoluteMaxAge: number | undefined;
  readonly schema: SessionSchema | undefined;
  readonly onInvalid: "end" | "throw";
}

/** What follows from what passed through the door. */
export interface TransactionListener
  extends Pick<RotationParts, "created" | "written" | "rotated"> {
  ended(sid: string, record: SessionRecord, reason: EndReason): void;
  conflict(event: SessionConflict): void;
  /** A session that somebody took for alive is not in the store. */
  missed(sid: string): void;
}

/** A handler of `withSession`. */
export type Handler<R> = (
  view: SessionView<SessionData, unknown>,
) => R | Promise<R>;

/** Where a transaction comes from. */
export interface Source {
  readonly socket?: unknown;
  readonly ctx?: unknown;
  /** Whether a use of the session prolongs its life. */
  readonly touch?: boolean;
  /** There while somebody watches. */
  readonly span?: Span;
  /** Brings changes of the request in, and takes the result out. */
  readonly carry?: {
    enter(scope: RootScope): void;
    leave(sid: string, record: StoredRecord | undefined): void;
  };
}

/** Every read and write of a session. */
export class Transactions {
  readonly door: Door;
  readonly lookup: Lookup;
  readonly editor: Editor;
  /** How many transactions ran. */
  count = 0;
  /** Whether the store is one that may look at the Koa context. */
  readonly wantsContext: boolean;
  readonly #lockTimeout: number;
  readonly #listener: TransactionListener;
  readonly #opener: Opener;
  readonly #ending: Ending;
  readonly #requests: Requests;
  readonly #rotations: Rotations;
  readonly #joins: Mutex<Scope>;
  readonly #shared: boolean;
  readonly #guard: SchemaGuard | undefined;

  constructor(
    records: Records,
    options: TransactionOptions,
    listener: TransactionListener,
  ) {
    const door = this.door = new Door(records, options);
    const guard = this.#guard = options.schema && new SchemaGuard(
      options.schema,
      options.onInvalid,
      (sid, record) => this.#ending.end(sid, "revoked", { record }),
    );
    const { missed } = listener;
    const lookup = this.lookup = new Lookup(door, records, missed, guard);
    const editor = this.editor = new Editor(options, listener.conflict);
    const opener = this.#opener = new Opener(door, lookup);
    const ending = this.#ending = new Ending(door, lookup, listener.ended);
    const shared = this.#shared = records.scope === "shared";
    const { absoluteMaxAge } = options;
    const { created, written, rotated } = listener;
    const parts = {
      door,
      lookup,
      editor,
      opener,
      ending,
      guard,
      shared,
      absoluteMaxAge,
      created,
      written,
      rotated,
    };
    this.#requests = new Requests(parts);
    this.#rotations = new Rotations(parts, this.#requests);
    this.#joins = new Mutex(options.lockTimeout);
    this.#lockTimeout = options.lockTimeout;
    this.#listener = listener;
    this.wantsContext = records.takesTurns === true;
  }

  /** Begins a session; see {@linkcode Requests.create}. */
  create(
    sid: string,
    commit: Commit,
    clientId: string,
    ctx: unknown,
  ): Promise<StoredRecord> {
    return committing(
      sid,
      () => this.#requests.create(sid, commit, clientId, ctx),
      () => "created",
    );
  }

  /** Writes a patch; see {@linkcode Requests.commit}. */
  commit(
    sid: string,
    base: StoredRecord,
    commit: Commit,
    ctx: unknown,
  ): Promise<Committed> {
    return committing(
      sid,
      () => this.#requests.commit(sid, base, commit, ctx),
      ({ status }) => status === "done" ? "written" : status,
    );
  }

  /** Gives a session a new id; see {@linkcode Rotations.rotate}. */
  rotate(
    from: string,
    to: string,
    base: StoredRecord,
    commit: Commit,
    how: Rotation,
    ctx: unknown,
  ): Promise<Committed> {
    return committing(
      from,
      () => this.#rotations.rotate(from, to, base, commit, how, ctx),
      ({ status }) => status === "done" ? "rotated" : status,
    );
  }

  /**
   * Ends a session at once, whoever holds it; a caller that stands inside a
   * transaction on it ends its own.
   *
   * @returns whether there was one alive that this call ended
   */
  async end(
    sid: string,
    reason: EndReason,
    known?: KnownSession,
  ): Promise<boolean> {
    const scope = this.#opener.scopeOf(sid);
    if (scope) scope.top.ended = true;
    return await this.#ending.end(sid, reason, known);
  }

  /** Whether this process is ending the session, or changing its id, right now. */
  isEnding(sid: string): boolean {
    return this.#ending.isEnding(sid);
  }

  /**
   * Runs a handler on a session, alone.
   *
   * @param args of `withSession`: the handler, and maybe what to do when there is no session
   */
  run(
    sid: string | undefined,
    args: readonly unknown[],
    source: Source,
  ): Promise<unknown> {
    if (!TRANSACTION.watched) return this.#run(sid, args, source);
    const from = source.socket ? "socket" : source.carry ? "http" : "bridge";
    const run = (span: Span) => this.#run(sid, args, { ...source, span });
    return Promise.resolve(TRANSACTION.run(sid, from, run));
  }

  async #run(
    sid: string | undefined,
    args: readonly unknown[],
    source: Source,
  ): Promise<unknown> {
    const missing = missingPolicy(args);
    if (sid === undefined) {
      if (source.span) source.span.outcome = "missing";
      return missing();
    }
    const handler = args[0] as Handler<unknown>;
    const asked = source.span && performance.now();
    const frame = this.#opener.frames.getStore();
    const scope = frame && findScope(frame, sid);
    if (scope) return await this.#join(scope, frame, handler, missing, source);
    const opening = this.#opener.open(sid, source.ctx, false);
    const opened = opening instanceof Promise ? await opening : opening;
    if (source.span) source.span.wait = performance.now() - asked!;
    if ("missing" in opened) {
      if (source.span) source.span.outcome = "missing";
      this.#listener.missed(sid);
      return missing();
    }
    this.count++;
    const executing = this.#execute(opened, frame, handler, source);
    return executing instanceof Promise ? await executing : executing;
  }

  /** What is done at once on a store that answers at once is over when this returns: nobody has to wait for it. */
  #execute<R>(
    held: Held,
    parent: Frame | undefined,
    handler: Handler<R>,
    source: Source,
  ): Awaitable<R> {
    const scope = new RootScope(held, JSON.parse(held.record.data));
    let result: R | Promise<R>;
    try {
      source.carry?.enter(scope);
      result = this.#opener.frames.run(
        { scope, parent },
        handler,
        scope.view(source.socket),
      );
    } catch (error) {
      return this.#finish(scope, Promise.reject(error), source);
    }
    if (isThenable(result) || scope.busy) {
      return this.#finish(scope, result, source);
    }
    scope.open = false;
    const concluding = this.#conclude(scope, source);
    return concluding ? concluding.then(() => result) : result;
  }

  /** Waits for the handler, and for what joined it. */
  async #finish<R>(
    scope: RootScope,
    working: R | Promise<R>,
    source: Source,
  ): Promise<R> {
    let result: R;
    try {
      result = await working;
    } catch (error) {
      await scope.close();
      scope.held.release();
      throw error;
    }
    await scope.close();
    await this.#conclude(scope, source);
    return result;
  }

  async #join<R, M>(
    into: Scope,
    parent: Frame | undefined,
    handler: Handler<R>,
    missing: () => M,
    source: Source,
  ): Promise<R | M> {
    into.started();
    if (source.span) source.span.outcome = "joined";
    try {
      const hold = await this.#joinTurn(into);
      try {
        if (into.result === null || into.top.ended) return missing();
        const before = encode(into.result);
        const scope = new Scope(into.top, JSON.parse(before));
        let result: R;
        try {
          result = await this.#opener.frames.run(
            { scope, parent },
            handler,
            scope.view(source.socket),
          );
        } finally {
          await scope.close();
        }
        if (hold.state === "lost") {
          this.door.timeouts++;
          throw new SessionTimeoutError("hold", this.#lockTimeout);
        }
        settle(into, before, scope.result);
        if (scope.result === null) await this.#endInside(into.top);
        return result;
      } finally {
        this.#joins.release(hold);
      }
    } finally {
      into.finished();
    }
  }

  /** Ending never waits, not even for the call that was joined. */
  async #endInside(top: RootScope): Promise<void> {
    if (top.ended) return;
    top.ended = true;
    const { sid, record } = top.held;
    if (!await this.end(sid, "logout", { record })) {
      throw new SessionEndedError();
    }
  }

  async #joinTurn(into: Scope) {
    try {
      return (await this.#joins.acquire(into))!;
    } catch (error) {
      if (!(error instanceof WaitTimeout)) throw error;
      this.door.timeouts++;
      throw new SessionTimeoutError("wait", this.#lockTimeout);
    }
  }

  #conclude(scope: RootScope, source: Source): Promise<void> | undefined {
    if (scope.ended || scope.result === null) return this.#end(scope, source);
    const { held } = scope;
    try {
      const data = encode(scope.result);
      return this.#guard && data !== held.record.data
        ? this.#writeGuarded(this.#guard, scope, data, source)
        : this.#write(scope, data, source);
    } catch (error) {
      held.release();
      throw error;
    }
  }

  async #writeGuarded(
    guard: SchemaGuard,
    scope: RootScope,
    data: string,
    source: Source,
  ): Promise<void> {
    try {
      await this.#write(scope, await guard.writable(data), source);
    } catch (error) {
      scope.held.release();
      throw error;
    }
  }

  #write(
    scope: RootScope,
    data: string,
    source: Source,
  ): Promise<void> | undefined {
    const { held, cookie } = scope;
    const next = this.editor.next(held.record, data, cookie, source.touch);
    const closing = held.close(next);
    if (closing instanceof Promise || closing.status !== "done") {
      return this.#close(held, next, closing, source);
    }
    this.#closed(held, next, closing.version, source);
  }

  async #end(scope: RootScope, source: Source): Promise<void> {
    const { held } = scope;
    if (source.span) source.span.outcome = "destroyed";
    if (scope.ended) held.release();
    else await this.#logout(scope);
    source.carry?.leave(held.sid, undefined);
  }

  async #logout(scope: RootScope): Promise<void> {
    const { held } = scope;
    try {
      // first destroyed, then let go: who waits is to find it missing
      const over = held.over();
      if (over) throw new SessionEndedError(over.why);
      if (!await this.end(held.sid, "logout", { record: held.record })) {
        throw new SessionEndedError();
      }
    } finally {
      held.release();
    }
  }

  /** Closes a session; what somebody wrote past the door meanwhile is kept as a patch would keep it. */
  async #close(
    held: Held,
    next: SessionRecord | undefined,
    closing: Awaitable<Closed>,
    source: Source,
  ): Promise<void> {
    let closed = await closing;
    for (let tries = 0; closed.status === "changed"; tries++) {
      if (tries === MAX_TRIES) throw unsound();
      const current = closed.record;
      let data: string;
      try {
        const patch = diff(
          JSON.parse(held.record.data),
          JSON.parse(next!.data),
        );
        data = this.editor.merged(held.sid, held.record, patch, current);
        if (this.#guard) data = await this.#guard.writable(data);
        const user = this.editor.userOf(data);
        next = { ...next!, data, ...binding(current), user };
      } catch (error) {
        held.release();
        throw error;
      }
      closed = await held.close(next, current.version);
    }
    if (closed.status === "ended") throw new SessionEndedError(closed.why);
    if (closed.status === "lost") {
      throw new SessionTimeoutError("hold", this.#lockTimeout);
    }
    this.#closed(held, next, closed.version, source);
  }

  #closed(
    held: Held,
    next: SessionRecord | undefined,
    version: Version,
    source: Source,
  ): void {
    if (source.span) source.span.outcome = next ? "written" : "unchanged";
    if (next) this.#listener.written(held.sid, next, held.record);
    source.carry?.leave(held.sid, { ...next ?? held.record, version });
  }
}

/** A write of a request. */
async function committing<T>(
  sid: string,
  act: () => Promise<T>,
  outcomeOf: (result: T) => string,
): Promise<T> {
  return COMMIT.watched
    ? await COMMIT.run(sid, "http", act, outcomeOf)
    : await act();
}
