/**
 * The end of a transaction: the session that the handler left is written, or
 * terminated, and the hold is released.
 *
 * @module
 */
import { SessionEndedError, SessionTimeoutError } from "../api/errors.ts";
import type {
  Awaitable,
  SessionRecord,
  StoredRecord,
  Version,
} from "../api/store.ts";
import { onFailure } from "../base/async.ts";
import type { Span } from "../base/tracing.ts";
import type { TransactionDeps } from "./deps.ts";
import { MAX_TRIES, unstableVersionError } from "./opener.ts";
import { diff } from "./patch.ts";
import { bindingOf, changeOf } from "./record_builder.ts";
import type { RequestOrigin } from "./request_origin.ts";
import { type RootScope, serializeSession } from "./scope.ts";
import type { CloseResult, HeldSession } from "./session_lock.ts";
import type { SessionMove } from "./session_move.ts";
import type { SocketRotation, UserChange } from "./session_observer.ts";

/** What the caller of a transaction asks of its commit. */
export interface CommitSource {
  /** Whether the use of the session extends its life. */
  readonly touch?: boolean;
  /** Present while the tracing channel has subscribers. */
  readonly span?: Span;
  readonly ctx?: unknown;
  /** The request whose own commit this is. */
  readonly request?: RequestOrigin;
  /** The request that carried its pending changes in, and shows the result. */
  readonly carry?: {
    leave(
      sid: string,
      record: StoredRecord | undefined,
      rotated?: SocketRotation,
    ): void;
  };
}

/** Commits what handlers left. */
export class HandlerCommits {
  readonly #deps: TransactionDeps;
  readonly #move: SessionMove;

  constructor(deps: TransactionDeps, move: SessionMove) {
    this.#deps = deps;
    this.#move = move;
  }

  /**
   * Commits a transaction that no call can join any more.
   *
   * @returns `undefined` when the commit is complete, as on a synchronous store
   */
  commit(scope: RootScope, source: CommitSource): Promise<void> | undefined {
    if (scope.ended || scope.result === null) return this.#end(scope, source);
    const { held } = scope;
    const { guard } = this.#deps;
    try {
      const data = serializeSession(scope.result, held.record.data);
      return guard && data !== held.record.data
        ? this.#writeGuarded(scope, guard.writable(data), source)
        : this.#write(scope, data, source);
    } catch (error) {
      held.release();
      throw error;
    }
  }

  async #writeGuarded(
    scope: RootScope,
    checking: Promise<string>,
    source: CommitSource,
  ): Promise<void> {
    await onFailure(
      async () => await this.#write(scope, await checking, source),
      () => scope.held.release(),
    );
  }

  #write(
    scope: RootScope,
    data: string,
    source: CommitSource,
  ): Promise<void> | undefined {
    const { held, cookie } = scope;
    const { records } = this.#deps;
    const { request, touch } = source;
    const users = records.usersOf(held.record.data, data);
    const next = records.afterHandler(held.record, data, cookie, touch, {
      users,
      request,
    });
    const change = changeOf(users);
    if (change) return this.#writeChange(held, next!, change, source);
    const closing = held.close(next);
    if (closing instanceof Promise || closing.status !== "done") {
      return this.#close(held, next, closing, source);
    }
    this.#closed(held, next, closing.version, source);
  }

  /** Commits a change of user: under a new id in a request that can send it. */
  async #writeChange(
    held: HeldSession,
    next: SessionRecord,
    userChange: UserChange,
    source: CommitSource,
  ): Promise<void> {
    const { users } = this.#deps;
    const { request } = source;
    const { sid, record: before } = held;
    const sockets = request?.canSendIds && users.rotationFor(userChange);
    try {
      await users.withinLimit(userChange.to, [sid], async () => {
        if (!request || !sockets) {
          users.idsKept(userChange);
          const closing = held.close(next);
          await this.#close(held, next, closing, source, userChange);
          return true;
        }
        const to = request.newSid();
        const occasion = { request, userChange };
        const { ctx } = source;
        const move = { from: sid, to, next, before, sockets, ctx, occasion };
        const moved = await this.#move.move(held, move);
        if (moved.status === "ended") throw new SessionEndedError(moved.why);
        if (moved.status === "lost") throw this.#holdTimeout();
        moved.held.release();
        if (source.span) source.span.outcome = "written";
        source.carry?.leave(to, moved.held.record, sockets);
        return true;
      });
    } finally {
      held.release();
    }
  }

  #holdTimeout(): Error {
    return new SessionTimeoutError("hold", this.#deps.options.lockTimeout);
  }

  /** Closes a session; a version stored without the lock is merged as a patch would be. */
  async #close(
    held: HeldSession,
    next: SessionRecord | undefined,
    closing: Awaitable<CloseResult>,
    source: CommitSource,
    userChange?: UserChange,
  ): Promise<void> {
    let closed = await closing;
    for (let tries = 0; closed.status === "changed"; tries++) {
      if (tries === MAX_TRIES) throw unstableVersionError();
      const current = closed.record;
      try {
        next = await this.#merged(held, next!, current);
      } catch (error) {
        held.release();
        throw error;
      }
      closed = await held.close(next, current.version);
    }
    if (closed.status === "ended") throw new SessionEndedError(closed.why);
    if (closed.status === "lost") throw this.#holdTimeout();
    this.#closed(held, next, closed.version, source, userChange);
  }

  async #merged(
    held: HeldSession,
    next: SessionRecord,
    current: StoredRecord,
  ): Promise<SessionRecord> {
    const { records, guard } = this.#deps;
    const patch = diff(JSON.parse(held.record.data), JSON.parse(next.data));
    let data = records.merged(held.sid, held.record, patch, current);
    if (guard) data = await guard.writable(data);
    const user = records.userOf(data);
    return { ...next, data, ...bindingOf(current), user };
  }

  #closed(
    held: HeldSession,
    next: SessionRecord | undefined,
    version: Version,
    source: CommitSource,
    userChange?: UserChange,
  ): void {
    if (source.span) source.span.outcome = next ? "written" : "unchanged";
    if (next) {
      const { request } = source;
      const occasion = { request, userChange };
      this.#deps.observer.changed(held.sid, next, held.record, occasion);
    }
    source.carry?.leave(held.sid, { ...next ?? held.record, version });
  }

  async #end(scope: RootScope, source: CommitSource): Promise<void> {
    const { held } = scope;
    if (source.span) source.span.outcome = "destroyed";
    if (scope.ended) held.release();
    else await this.#terminate(held, source);
    source.carry?.leave(held.sid, undefined);
  }

  async #terminate(held: HeldSession, source: CommitSource): Promise<void> {
    const { sid, record } = held;
    try {
      // destroyed before it is released: waiting calls find it missing
      const state = held.state();
      if (state.status === "ended") throw new SessionEndedError(state.why);
      if (
        !await this.#deps.termination.end(sid, "logout", {
          record,
          follow: "none",
          ...source.request ? { request: source.request } : {},
        })
      ) {
        throw new SessionEndedError();
      }
    } finally {
      held.release();
    }
  }
}
