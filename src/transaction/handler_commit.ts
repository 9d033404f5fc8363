/**
 * What follows when the handler of a transaction is over: what it left behind
 * is written, or ends the session, and the session is let go.
 *
 * @module
 */
import { bindingOf, type RecordBuilder } from "./record_builder.ts";
import { SessionEndedError, SessionTimeoutError } from "../api/errors.ts";
import { MAX_TRIES, unstableVersionError } from "./opener.ts";
import { diff } from "./patch.ts";
import type { SchemaGuard } from "./schema_guard.ts";
import { type RootScope, serializeSession } from "./scope.ts";
import type {
  Awaitable,
  SessionRecord,
  StoredRecord,
  Version,
} from "../api/store.ts";
import type { Span } from "../base/tracing.ts";
import type { CloseResult, HeldSession } from "./session_lock.ts";

/** Whose transaction is over. */
export interface CommitSource {
  /** Whether a use of the session prolongs its life. */
  readonly touch?: boolean;
  /** There while somebody watches. */
  readonly span?: Span;
  /** Takes the result out. */
  readonly carry?: {
    leave(sid: string, record: StoredRecord | undefined): void;
  };
}

/** What conclusions work with. */
export interface HandlerCommitDeps {
  readonly editor: RecordBuilder;
  readonly guard: SchemaGuard | undefined;
  readonly lockTimeout: number;
  written(sid: string, record: SessionRecord, before: SessionRecord): void;
  /** Ends a session that a handler destroyed; resolves to whether it was alive. */
  logout(sid: string, record: SessionRecord): Promise<boolean>;
}

/** See the module's text. */
export class HandlerCommits {
  readonly #parts: HandlerCommitDeps;

  constructor(parts: HandlerCommitDeps) {
    this.#parts = parts;
  }

  /**
   * Concludes a transaction that no call can join any more.
   *
   * @returns nothing where it is over already, on a store that answers at once
   */
  commit(scope: RootScope, source: CommitSource): Promise<void> | undefined {
    if (scope.ended || scope.result === null) return this.#end(scope, source);
    const { held } = scope;
    const { guard } = this.#parts;
    try {
      const data = serializeSession(scope.result, held.record.data);
      return guard && data !== held.record.data
        ? this.#writeGuarded(guard, scope, data, source)
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
    source: CommitSource,
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
    source: CommitSource,
  ): Promise<void> | undefined {
    const { held, cookie } = scope;
    const { editor } = this.#parts;
    const next = editor.afterHandler(held.record, data, cookie, source.touch);
    const closing = held.close(next);
    if (closing instanceof Promise || closing.status !== "done") {
      return this.#close(held, next, closing, source);
    }
    this.#closed(held, next, closing.version, source);
  }

  /** Closes a session; what somebody wrote past the door meanwhile is kept as a patch would keep it. */
  async #close(
    held: HeldSession,
    next: SessionRecord | undefined,
    closing: Awaitable<CloseResult>,
    source: CommitSource,
  ): Promise<void> {
    const { editor, guard, lockTimeout } = this.#parts;
    let closed = await closing;
    for (let tries = 0; closed.status === "changed"; tries++) {
      if (tries === MAX_TRIES) throw unstableVersionError();
      const current = closed.record;
      let data: string;
      try {
        const patch = diff(
          JSON.parse(held.record.data),
          JSON.parse(next!.data),
        );
        data = editor.merged(held.sid, held.record, patch, current);
        if (guard) data = await guard.writable(data);
        const user = editor.userOf(data);
        next = { ...next!, data, ...bindingOf(current), user };
      } catch (error) {
        held.release();
        throw error;
      }
      closed = await held.close(next, current.version);
    }
    if (closed.status === "ended") throw new SessionEndedError(closed.why);
    if (closed.status === "lost") {
      throw new SessionTimeoutError("hold", lockTimeout);
    }
    this.#closed(held, next, closed.version, source);
  }

  #closed(
    held: HeldSession,
    next: SessionRecord | undefined,
    version: Version,
    source: CommitSource,
  ): void {
    if (source.span) source.span.outcome = next ? "written" : "unchanged";
    if (next) this.#parts.written(held.sid, next, held.record);
    source.carry?.leave(held.sid, { ...next ?? held.record, version });
  }

  async #end(scope: RootScope, source: CommitSource): Promise<void> {
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
      const over = held.revoked();
      if (over) throw new SessionEndedError(over.why);
      if (!await this.#parts.logout(held.sid, held.record)) {
        throw new SessionEndedError();
      }
    } finally {
      held.release();
    }
  }
}
