/**
 * Errors of calls on a session: classes that a caller distinguishes by `code`.
 * Misuse (a wrong option, a handler that is no function) is a plain `TypeError`
 * or `RangeError` instead, as it is corrected in the program and not caught.
 *
 * @module
 */

/** The stable `code` of each {@linkcode SessionError}. */
export type SessionErrorCode =
  | "SESSION_MISSING"
  | "SESSION_ENDED"
  | "SESSION_CONFLICT"
  | "SESSION_TIMEOUT"
  | "SESSION_STORE"
  | "SESSION_INVALID"
  | "SESSION_LIMIT";

/** The base class of the errors: what each {@linkcode SessionError} has. */
export abstract class BaseSessionError extends Error {
  /** Stable, for comparisons. */
  abstract readonly code: SessionErrorCode;
  /** The HTTP status that Koa answers with. */
  abstract readonly status: number;
  /** Koa answers with the status alone: the message is for the log. */
  readonly expose = false;
}

/**
 * There is no session to work on: no session id, or the store has none for it.
 *
 * @example Distinguish a guest from a fault
 * ```ts
 * import { SessionMissingError } from "@koa-io/session";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(new SessionMissingError().message, "Session missing");
 * assertEquals(new SessionMissingError().code, "SESSION_MISSING");
 * ```
 */
export class SessionMissingError extends BaseSessionError {
  /** `"SessionMissingError"` */
  override readonly name = "SessionMissingError";
  /** `"SESSION_MISSING"` */
  readonly code = "SESSION_MISSING";
  /** 401: without a session the request lacks authentication (RFC 9110, 15.5.2). */
  readonly status = 401;
  /** The message is exactly `Session missing`, as in koa-io-session 2.2. */
  constructor() {
    super("Session missing");
  }
}

/**
 * The session ended while a transaction was running on it: nothing that the
 * handler did to it was written.
 *
 * @example
 * ```ts
 * import { SessionEndedError } from "@koa-io/session";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(new SessionEndedError("logout").code, "SESSION_ENDED");
 * ```
 */
export class SessionEndedError extends BaseSessionError {
  /** `"SessionEndedError"` */
  override readonly name = "SessionEndedError";
  /** `"SESSION_ENDED"` */
  readonly code = "SESSION_ENDED";
  /** 401, as for a session that was never there. */
  readonly status = 401;
  /**
   * Makes one.
   *
   * @param reason why the session ended, where it is known
   */
  constructor(
    /** Why the session ended, where it is known. */
    readonly reason?: string,
  ) {
    super(
      `Cannot write the session as it ended while the handler was running${
        reason ? ` (${reason})` : ""
      }`,
    );
  }
}

/**
 * Two writers changed the same key to different values, and `onConflict` is
 * `"reject"`: nothing of the later write is stored.
 *
 * @example
 * ```ts
 * import { SessionConflictError } from "@koa-io/session";
 * import { assertEquals } from "@std/assert";
 *
 * const error = new SessionConflictError(["cart"]);
 * assertEquals([error.code, error.status, error.keys], ["SESSION_CONFLICT", 409, ["cart"]]);
 * ```
 */
export class SessionConflictError extends BaseSessionError {
  /** `"SessionConflictError"` */
  override readonly name = "SessionConflictError";
  /** `"SESSION_CONFLICT"` */
  readonly code = "SESSION_CONFLICT";
  /** 409 Conflict. */
  readonly status = 409;
  /**
   * Makes one.
   *
   * @param keys the top-level keys of the session in conflict
   */
  constructor(
    /** The top-level keys in conflict. */
    readonly keys: readonly string[],
  ) {
    super(
      keys.length === 0
        ? "Cannot begin a session as a later request of the same client prevails"
        : `Cannot write the session as somebody else changed the same keys: ${
          keys.map((key) => JSON.stringify(key)).join(", ")
        }`,
    );
  }
}

/**
 * A wait for a session, or a hold on one, went past `lockTimeout`, or too many
 * calls wait for it already.
 *
 * @example
 * ```ts
 * import { SessionTimeoutError } from "@koa-io/session";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(new SessionTimeoutError("wait", 5000).status, 503);
 * ```
 */
export class SessionTimeoutError extends BaseSessionError {
  /** `"SessionTimeoutError"` */
  override readonly name = "SessionTimeoutError";
  /** `"SESSION_TIMEOUT"` */
  readonly code = "SESSION_TIMEOUT";
  /** 503 Service Unavailable. */
  readonly status = 503;
  /**
   * Makes one.
   *
   * @param what `"wait"`: the session was held by others for too long;
   * `"hold"`: this handler took too long and the session was given to another;
   * `"queue"`: `maxWaiting` other calls wait for it
   * @param limit the limit that was passed, in ms; with `"queue"` in calls
   */
  constructor(
    /** Whether a wait or a hold took too long, or the queue was full. */
    readonly what: "wait" | "hold" | "queue",
    limit: number,
  ) {
    super(
      {
        wait:
          `Cannot open the session as others held it for longer than lockTimeout (${limit} ms)`,
        hold:
          `Cannot write the session as the handler held it for longer than lockTimeout (${limit} ms) and it was given to another`,
        queue:
          `Cannot open the session as more calls wait for it than maxWaiting allows (${limit})`,
      }[what],
    );
  }
}

/**
 * The store failed, or did not answer within `storeTimeout`. The store's own
 * error is the `cause`; the message ends with its code, or its name.
 *
 * @example
 * ```ts
 * import { SessionStoreError } from "@koa-io/session";
 * import { assertEquals } from "@std/assert";
 *
 * const error = new SessionStoreError("read", { cause: new Error("ECONNREFUSED") });
 * assertEquals([error.code, error.status], ["SESSION_STORE", 503]);
 * ```
 */
export class SessionStoreError extends BaseSessionError {
  /** `"SessionStoreError"` */
  override readonly name = "SessionStoreError";
  /** `"SESSION_STORE"` */
  readonly code = "SESSION_STORE";
  /** 503 Service Unavailable. */
  readonly status = 503;
  /**
   * Makes one.
   *
   * @param operation what was asked of the store, or a whole sentence
   * @param options `cause`: the store's own error
   */
  constructor(operation: string, options?: ErrorOptions) {
    super(
      operation.includes(" ")
        ? operation
        : `Cannot ${operation} the session as the store failed${
          kindOf(options?.cause)
        }`,
      options,
    );
  }
}

/** The code or the name of a cause: Koa prints no causes, and their messages may quote ids. */
function kindOf(cause: unknown): string {
  if (!(cause instanceof Error)) return "";
  const { code } = cause as { code?: unknown };
  if (typeof code === "string" && /^[A-Z0-9_]{1,40}$/.test(code)) {
    return `: ${code}`;
  }
  return cause.name !== "Error" && /^\w{1,40}$/.test(cause.name)
    ? `: ${cause.name}`
    : "";
}

/** One thing that the option `schema` found wrong. */
export interface SessionIssue {
  /** What is wrong, in the validator's words; they may quote the data. */
  readonly message: string;
  /** Where, from the session down: `["user", "name"]`; empty for the session as a whole. */
  readonly path: readonly PropertyKey[];
}

/**
 * The data of a session is not what the option `schema` wants: of a write,
 * nothing was stored. The message names the places and quotes no data.
 *
 * @example
 * ```ts
 * import { SessionInvalidError } from "@koa-io/session";
 * import { assertEquals } from "@std/assert";
 *
 * const error = new SessionInvalidError([{ message: "Expected number", path: ["count"] }]);
 * assertEquals([error.code, error.status], ["SESSION_INVALID", 422]);
 * assertEquals(error.issues[0]?.path, ["count"]);
 * ```
 */
export class SessionInvalidError extends BaseSessionError {
  /** `"SessionInvalidError"` */
  override readonly name = "SessionInvalidError";
  /** `"SESSION_INVALID"` */
  readonly code = "SESSION_INVALID";
  /** 422 Unprocessable Content. */
  readonly status = 422;
  /**
   * Makes one.
   *
   * @param issues what is wrong
   * @param what `"write"`: data that was to be stored; `"load"`: data that is
   */
  constructor(
    /** What is wrong. */
    readonly issues: readonly SessionIssue[],
    what: "write" | "load" = "write",
  ) {
    const places = issues.map(({ path }) =>
      path.length > 0 ? path.map(String).join(".") : "the session"
    );
    super(
      `Cannot ${what} the session as the option schema refuses ${
        [...new Set(places)].join(", ")
      }`,
    );
  }
}

/**
 * A user has as many live sessions as `maxSessions` allows, and `exceed` is
 * `"refuse"`: the session and its cookies are left as they were.
 *
 * @example
 * ```ts
 * import { SessionLimitError } from "@koa-io/session";
 * import { assertEquals } from "@std/assert";
 *
 * const error = new SessionLimitError(3);
 * assertEquals([error.code, error.status, error.max], ["SESSION_LIMIT", 409, 3]);
 * ```
 */
export class SessionLimitError extends BaseSessionError {
  /** `"SessionLimitError"` */
  override readonly name = "SessionLimitError";
  /** `"SESSION_LIMIT"` */
  readonly code = "SESSION_LIMIT";
  /** 409 Conflict. */
  readonly status = 409;
  /**
   * Makes one.
   *
   * @param max how many live sessions a user may have
   */
  constructor(
    /** How many live sessions a user may have. */
    readonly max: number,
  ) {
    super(
      `Cannot log in as the user has as many live sessions as the option maxSessions allows (${max})`,
    );
  }
}

/** Every error that a call on a session can reject with; switch on `code`. */
export type SessionError =
  | SessionMissingError
  | SessionEndedError
  | SessionConflictError
  | SessionTimeoutError
  | SessionStoreError
  | SessionInvalidError
  | SessionLimitError;
