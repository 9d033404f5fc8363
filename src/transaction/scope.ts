/**
 * A transaction under way, and the calls that joined it.
 *
 * @module
 */
import { diff, type Patch } from "./patch.ts";
import { applyPatch } from "./patch.ts";
import type { SessionData } from "../api/store.ts";
import type { HeldSession } from "./session_lock.ts";
import type { SessionView } from "../api/session_view.ts";

/** One call: the outermost one, or one that joined it. */
export class TransactionScope {
  /** What the handler works on. */
  session: SessionData | null;
  /** Joined calls that have started and are not over. */
  #pending = 0;
  #drained: (() => void) | undefined;
  /** Whether calls may still join. */
  open = true;
  /** Set when a joined call destroyed the session: nothing that is assigned later brings it back. */
  destroyed = false;

  constructor(readonly root: RootScope | undefined, session: SessionData) {
    this.session = session;
  }

  get top(): RootScope {
    return this.root ?? this as unknown as RootScope;
  }

  /** What the handler left behind; `null` to destroy the session. */
  get result(): SessionData | null {
    return this.destroyed ? null : this.session ?? null;
  }

  started(): void {
    this.#pending++;
  }

  finished(): void {
    if (--this.#pending === 0) this.#drained?.();
  }

  /** Waits for the joined calls that have started, and lets no other join. */
  async close(): Promise<void> {
    while (this.#pending > 0) {
      await new Promise<void>((resolve) => this.#drained = resolve);
    }
    this.open = false;
  }

  /** Whether joined calls are under way. */
  get busy(): boolean {
    return this.#pending > 0;
  }

  view(socket: unknown): SessionView<SessionData, unknown> {
    return new HandlerView(this, socket);
  }

  /** Lays what somebody else changed over what the handler works on, in place. */
  apply(patch: Patch): void {
    if (this.session) applyPatch(this.session, patch);
  }
}

/** The outermost call: the one that holds the session. */
export class RootScope extends TransactionScope {
  /** Set when a call in here ended the session itself. */
  ended = false;
  /** What koa-session said of the cookie meanwhile. */
  cookie: { cookie: number | "session"; maxAge: number } | undefined;

  constructor(public held: HeldSession, session: SessionData) {
    super(undefined, session);
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

/** Where a call stands in its async chain. */
export interface Frame {
  readonly scope: TransactionScope;
  readonly parent: Frame | undefined;
}

/** The innermost call up the chain that holds this session and still runs. */
export function findScope(
  frame: Frame | undefined,
  sid: string,
): TransactionScope | undefined {
  for (; frame; frame = frame.parent) {
    if (frame.scope.open && frame.scope.top.sid === sid) return frame.scope;
  }
  return undefined;
}

/** Names that koa-session keeps to itself: it would drop them, or break on them, in silence. */
const RESERVED = new Set([
  "maxAge",
  "isNew",
  "length",
  "populated",
  "externalKey",
  "toJSON",
  "save",
  "commit",
  "regenerate",
  "manuallyCommit",
]);

/**
 * The JSON text of what a handler left behind.
 *
 * @param before the text of what it was given: what was fit to be stored then is so now
 * @throws {TypeError} when it is no object, has a reserved name, or JSON cannot hold it
 */
export function serializeSession(session: unknown, before?: string): string {
  const text = JSON.stringify(session);
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
  for (const key of Object.keys(session)) {
    if (key[0] === "_" || RESERVED.has(key)) {
      throw new TypeError(
        `Cannot write the session as koa-session keeps the name ${
          JSON.stringify(key)
        } to itself: choose another`,
      );
    }
  }
  if (text === undefined || text[0] !== "{") {
    throw new TypeError(
      "Cannot write the session as it must be an object in JSON: received one whose toJSON says otherwise",
    );
  }
  return text;
}

/** Puts the changes of a joined call into the call that it joined. */
export function mergeNested(
  into: TransactionScope,
  before: string,
  after: SessionData | null,
): void {
  if (after === null) {
    into.session = null;
    into.destroyed = true;
    return;
  }
  const text = serializeSession(after);
  if (text === before) return;
  into.apply(diff(JSON.parse(before), JSON.parse(text)));
}
