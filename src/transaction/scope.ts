/**
 * A transaction in progress, and the calls that joined it.
 *
 * @module
 */
import { applyPatch, diff, type Patch } from "./patch.ts";
import type { SessionData, StoredRecord } from "../api/store.ts";
import type { RequestOrigin } from "./request_origin.ts";
import type { HeldSession } from "./session_lock.ts";
import type { SessionView } from "../api/session_view.ts";
import { unwritable, warnOfLost } from "./lost_values.ts";
import { assertNames } from "./reserved_names.ts";

/** One call: the outermost one, or a nested one. */
export class TransactionScope {
  /** What the handler works on. */
  session: SessionData | null;
  /** Joined calls that are running. */
  #pending = 0;
  #drained: (() => void) | undefined;
  /** Whether calls may join: while its handler runs. */
  open = true;
  /** Set when a joined call destroyed the session; later assignments have no effect. */
  destroyed = false;
  /** What requests have applied to `session`. */
  #applied: Map<RequestOrigin, StoredRecord> | undefined;

  /** @param into the call that this one has joined */
  constructor(
    readonly into: TransactionScope | undefined,
    session: SessionData,
  ) {
    this.session = session;
  }

  get top(): RootScope {
    return this.into?.top ?? this as unknown as RootScope;
  }

  /**
   * The base of a request's next patch: what it has applied here, which a later
   * patch must not repeat over changes of the handler.
   *
   * @param loaded the base while it has applied nothing
   */
  baseOf(request: RequestOrigin, loaded: StoredRecord): StoredRecord {
    return this.#applied?.get(request) ?? this.into?.baseOf(request, loaded) ??
      loaded;
  }

  /** Records what a request has applied here. */
  noteApplied(request: RequestOrigin, record: StoredRecord): void {
    (this.#applied ??= new Map()).set(request, record);
  }

  /**
   * Tells the requests that have applied changes that these are stored.
   *
   * @param own the request whose call this is: its base is what the commit stored
   */
  noteStored(own: RequestOrigin | undefined): void {
    if (!this.#applied) return;
    for (const [request, record] of this.#applied) {
      if (request !== own) request.noteJoined(record);
    }
  }

  /** Takes over what requests have applied to a nested call. */
  adopt(nested: TransactionScope): void {
    for (const [request, record] of nested.#applied ?? []) {
      this.noteApplied(request, record);
    }
  }

  /** The session as the handler left it; `null` to destroy it. */
  get result(): SessionData | null {
    return this.destroyed ? null : this.session ?? null;
  }

  started(): void {
    this.#pending++;
  }

  finished(): void {
    if (--this.#pending === 0) this.#drained?.();
  }

  /** The handler has returned: refuses further calls, and waits for the joined ones. */
  async close(): Promise<void> {
    this.open = false;
    while (this.#pending > 0) {
      await new Promise<void>((resolve) => this.#drained = resolve);
    }
  }

  /** Whether joined calls are running. */
  get busy(): boolean {
    return this.#pending > 0;
  }

  view(socket: unknown): SessionView<SessionData, unknown> {
    return new HandlerView(this, socket);
  }

  /** Applies a patch to what the handler works on, in place. */
  apply(patch: Patch): void {
    if (this.session) applyPatch(this.session, patch);
  }
}

/** The outermost call: the one that holds the session. */
export class RootScope extends TransactionScope {
  /** Set when a call inside this one ended the session. */
  ended = false;
  /** Life of cookie and session, where koa-session saved during the transaction; in ms. */
  cookie: Pick<StoredRecord, "cookie" | "maxAge"> | undefined;

  constructor(public held: HeldSession, session: SessionData) {
    super(undefined, session);
  }

  /** The record that it holds, with the life that was saved during the transaction. */
  get current(): StoredRecord {
    return { ...this.held.record, ...this.cookie };
  }

  get sid(): string {
    return this.held.sid;
  }
}

class HandlerView implements SessionView<SessionData, unknown> {
  readonly #scope: TransactionScope;
  readonly socket: unknown;

  constructor(scope: TransactionScope, socket: unknown) {
    this.#scope = scope;
    this.socket = socket;
  }

  get sessionId(): string {
    return this.#scope.top.sid;
  }

  get session(): SessionData {
    return this.#scope.session as SessionData;
  }

  set session(value: SessionData | null) {
    this.#scope.session = value;
  }
}

/**
 * Position of a call in its async chain. Timers and promises that a handler
 * leaves behind keep its frame for as long as they live, so that a closed frame
 * holds nothing: neither its scope nor the frames of closed calls.
 */
export class Frame {
  #scope: TransactionScope | undefined;
  #parent: Frame | undefined;

  /** @param parent the frame that the caller runs in */
  constructor(scope: TransactionScope, parent: Frame | undefined) {
    this.#scope = scope;
    this.#parent = Frame.#pruned(parent);
  }

  /** The innermost running call up the chain that holds this session. */
  find(sid: string): TransactionScope | undefined {
    // deno-lint-ignore no-this-alias
    for (let frame: Frame | undefined = this; frame; frame = frame.#parent) {
      const scope = frame.#scope;
      if (scope?.open && scope.top.sid === sid) return scope;
    }
    return undefined;
  }

  /** The handler of the call has returned. */
  close(): void {
    this.#scope = undefined;
    this.#parent = Frame.#pruned(this.#parent);
  }

  /** The innermost open frame of a chain, with all closed ones cut out of it. */
  static #pruned(frame: Frame | undefined): Frame | undefined {
    while (frame && !frame.#scope) frame = frame.#parent;
    for (let open = frame; open; open = open.#parent) {
      let parent = open.#parent;
      while (parent && !parent.#scope) parent = parent.#parent;
      open.#parent = parent;
    }
    return frame;
  }
}

/**
 * The JSON text of the session that a handler left.
 *
 * @param before the text that the handler started from; the same text needs no check
 * @throws {TypeError} when it is no object, has a reserved name, or JSON cannot hold it
 */
export function serializeSession(session: unknown, before?: string): string {
  const text = textOf(session);
  if (text === before && text !== undefined) return text;
  if (
    typeof session !== "object" || session === null || Array.isArray(session)
  ) {
    throw new TypeError(
      `Cannot write the session as it must be an object or null: received ${
        Array.isArray(session) ? "an array" : typeof session
      }`,
    );
  }
  if (text === undefined || text[0] !== "{") {
    throw new TypeError(
      "Cannot write the session as it must be an object in JSON: received one whose toJSON says otherwise",
    );
  }
  // the names that are stored are those of its toJSON
  const { toJSON } = session as { toJSON?: unknown };
  if (typeof toJSON !== "function") warnOfLost(session);
  assertNames(
    typeof toJSON === "function" ? JSON.parse(text) : session,
    before,
  );
  return text;
}

function textOf(session: unknown): string | undefined {
  try {
    return JSON.stringify(session);
  } catch (error) {
    throw unwritable(error, session);
  }
}

/** Merges the changes of a nested call into the call that it joined. */
export function mergeNested(
  into: TransactionScope,
  before: string,
  nested: TransactionScope,
): void {
  const { result: after } = nested;
  into.adopt(nested);
  if (after === null) {
    into.session = null;
    into.destroyed = true;
    return;
  }
  const text = serializeSession(after, before);
  if (text === before) return;
  into.apply(diff(JSON.parse(before), JSON.parse(text)));
}
