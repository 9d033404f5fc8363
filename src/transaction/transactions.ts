/**
 * The one door that every write goes through, from HTTP or from a socket, in
 * this process or another: wait, read, let the handler work, see what it
 * changed, write that if nobody ended or took the session meanwhile, tell.
 *
 * @module
 */
import { type CommitSource, HandlerCommits } from "./handler_commit.ts";
import { SessionGate } from "./session_gate.ts";
import { RecordBuilder, type RecordOptions } from "./record_builder.ts";
import { type KnownSession, SessionTermination } from "./termination.ts";
import type { EndReason, SessionConflict } from "../api/events.ts";
import { isThenable } from "../base/async.ts";
import { type Handler, type NestedCaller, NestedCalls } from "./nested.ts";
import { SessionLookup } from "./lookup.ts";
import { missingPolicy } from "./on_missing.ts";
import { SessionOpener } from "./opener.ts";
import { type CommitOutcome, RequestCommits } from "./request_commit.ts";
import {
  type Rotation,
  type RotationDeps,
  SessionRotation,
} from "./rotation.ts";
import { SchemaGuard } from "./schema_guard.ts";
import { findScope, type Frame, RootScope } from "./scope.ts";
import type { Awaitable, SessionRecord, StoredRecord } from "../api/store.ts";
import { COMMIT, type Span, TRANSACTION } from "../base/tracing.ts";
import type { RecordStore } from "../stores/open_store.ts";
import type { HeldSession } from "./session_lock.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";
import type { SessionSchema } from "../api/schema.ts";

/** What the door needs to know of the options. */
export interface TransactionOptions extends RecordOptions {
  readonly lockTimeout: number;
  readonly storeTimeout: number;
  readonly absoluteMaxAge: number | undefined;
  readonly schema: SessionSchema | undefined;
  readonly onInvalid: "end" | "throw";
}

/** What follows from what passed through the door. */
export interface TransactionListener
  extends Pick<RotationDeps, "created" | "written" | "rotated"> {
  ended(sid: string, record: SessionRecord, reason: EndReason): void;
  conflict(event: SessionConflict): void;
  /** A session that somebody took for alive is not in the store. */
  missed(sid: string): void;
}

/** Where a transaction comes from. */
export interface TransactionCaller extends NestedCaller, CommitSource {
  readonly ctx?: unknown;
  /** Whom the caller follows: to a new id as well, while the session is this client's. */
  readonly clientId?: string | undefined;
  /** Brings changes of the request in, and takes the result out. */
  readonly carry?: {
    enter(scope: RootScope): void;
    leave(sid: string, record: StoredRecord | undefined): void;
  };
}

/** Every read and write of a session. */
export class Transactions {
  readonly door: SessionGate;
  readonly lookup: SessionLookup;
  readonly editor: RecordBuilder;
  /** How many transactions ran. */
  count = 0;
  /** Whether the store is one that may look at the Koa context. */
  readonly wantsContext: boolean;
  readonly #missed: (sid: string) => void;
  readonly #opener: SessionOpener;
  readonly #ending: SessionTermination;
  readonly #requests: RequestCommits;
  readonly #rotations: SessionRotation;
  readonly #joining: NestedCalls;
  readonly #conclusion: HandlerCommits;

  constructor(
    records: RecordStore,
    options: TransactionOptions,
    listener: TransactionListener,
  ) {
    const door = this.door = new SessionGate(records, options);
    const guard = options.schema && new SchemaGuard(
      options.schema,
      options.onInvalid,
      (sid, record) => this.#ending.end(sid, "revoked", { record }),
    );
    const missed = this.#missed = listener.missed;
    const lookup = this.lookup = new SessionLookup(
      door,
      records,
      missed,
      guard,
    );
    const editor = this.editor = new RecordBuilder(options, listener.conflict);
    const opener = this.#opener = new SessionOpener(door, lookup);
    const ending = this.#ending = new SessionTermination(
      door,
      lookup,
      listener.ended,
    );
    const shared = records.scope === "shared";
    const { absoluteMaxAge, lockTimeout, storeTimeout } = options;
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
      lockTimeout,
      storeTimeout,
      created,
      written,
      rotated,
      logout: (sid: string, record: SessionRecord) =>
        this.end(sid, "logout", { record }),
    };
    this.#requests = new RequestCommits(parts);
    this.#rotations = new SessionRotation(parts, this.#requests);
    this.#joining = new NestedCalls(parts);
    this.#conclusion = new HandlerCommits(parts);
    this.wantsContext = records.needsExclusiveWrites === true;
  }

  /** Begins a session; see {@linkcode RequestCommits.create}. */
  create(
    sid: string,
    commit: SessionWrite,
    clientId: string,
    ctx: unknown,
  ): Promise<StoredRecord> {
    return committing(
      sid,
      () => this.#requests.create(sid, commit, clientId, ctx),
      () => "created",
    );
  }

  /** Writes a patch; see {@linkcode RequestCommits.commit}. */
  commit(
    sid: string,
    base: StoredRecord,
    commit: SessionWrite,
    ctx: unknown,
  ): Promise<CommitOutcome> {
    return committing(
      sid,
      () => this.#requests.commit(sid, base, commit, ctx),
      ({ status }) => status === "done" ? "written" : status,
    );
  }

  /** Gives a session a new id; see {@linkcode SessionRotation.rotate}. */
  rotate(
    from: string,
    to: string,
    base: StoredRecord,
    commit: SessionWrite,
    how: Rotation,
    ctx: unknown,
  ): Promise<CommitOutcome> {
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
    source: TransactionCaller,
  ): Promise<unknown> {
    if (!TRANSACTION.enabled) return this.#run(sid, args, source);
    const from = source.socket ? "socket" : source.carry ? "http" : "bridge";
    const run = (span: Span) => this.#run(sid, args, { ...source, span });
    return Promise.resolve(TRANSACTION.run(sid, from, run));
  }

  async #run(
    sid: string | undefined,
    args: readonly unknown[],
    source: TransactionCaller,
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
    if (scope) {
      return await this.#joining.join(scope, frame, handler, missing, source);
    }
    const opening = this.#opener.open(sid, source.ctx, false);
    const opened = opening instanceof Promise ? await opening : opening;
    if (source.span) source.span.wait = performance.now() - asked!;
    if (!("missing" in opened)) {
      const holding = this.#hold(opened, frame, handler, source);
      return holding instanceof Promise ? await holding : holding;
    }
    this.#missed(sid);
    const to = await this.#followed(sid, source);
    const over = to !== undefined && frame && findScope(frame, to);
    if (over) {
      return await this.#joining.join(over, frame, handler, missing, source);
    }
    const held = to === undefined ? undefined : await this.#open(to, source);
    if (held) return await this.#hold(held, frame, handler, source);
    if (source.span) source.span.outcome = "missing";
    return missing();
  }

  #hold<R>(
    held: HeldSession,
    parent: Frame | undefined,
    handler: Handler<R>,
    source: TransactionCaller,
  ): Awaitable<R> {
    this.count++;
    return this.#execute(held, parent, handler, source);
  }

  /** The id that a follower's session has now: word of it may be on its way still. */
  async #followed(
    sid: string,
    { clientId }: TransactionCaller,
  ): Promise<string | undefined> {
    return clientId === undefined ? undefined : await this.lookup.movedTo(sid);
  }

  async #open(
    sid: string,
    { clientId, ctx }: TransactionCaller,
  ): Promise<HeldSession | undefined> {
    const opened = await this.#opener.open(sid, ctx, true);
    if ("missing" in opened) return undefined;
    if (opened.record.clientId === clientId) return opened;
    opened.release();
    return undefined;
  }

  /** What is done at once on a store that answers at once is over when this returns: nobody has to wait for it. */
  #execute<R>(
    held: HeldSession,
    parent: Frame | undefined,
    handler: Handler<R>,
    source: TransactionCaller,
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
    const concluding = this.#conclusion.commit(scope, source);
    return concluding ? concluding.then(() => result) : result;
  }

  /** Waits for the handler, and for what joined it. */
  async #finish<R>(
    scope: RootScope,
    working: R | Promise<R>,
    source: TransactionCaller,
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
    await this.#conclusion.commit(scope, source);
    return result;
  }
}

/** A write of a request. */
async function committing<T>(
  sid: string,
  act: () => Promise<T>,
  outcomeOf: (result: T) => string,
): Promise<T> {
  return COMMIT.enabled
    ? await COMMIT.run(sid, "http", act, outcomeOf)
    : await act();
}
