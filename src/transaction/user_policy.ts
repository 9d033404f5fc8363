/**
 * What a change of user does to ids and to the number of sessions: the options
 * `onUserChange` and `maxSessions`.
 *
 * @module
 */
import { SessionLimitError, SessionTimeoutError } from "../api/errors.ts";
import type { SessionRecord, SharedStore } from "../api/store.ts";
import { generateUid } from "../base/ids.ts";
import { Mutex, WaitTimeout } from "../base/mutex.ts";
import type { Found, SessionLookup } from "./lookup.ts";
import type { LockLimits } from "./session_lock.ts";
import type { SocketRotation, UserChange } from "./session_observer.ts";
import type { StoreAccess } from "./store_access.ts";
import type { SessionTermination } from "./termination.ts";
import type { Undo } from "./undo.ts";

/** Pause between two attempts to take a lock that is held, in ms. */
const LOCK_RETRY = 20;

/** The options that concern users. */
export interface UserOptions extends LockLimits {
  readonly onUserChange: "reconnect" | "follow" | "keep" | undefined;
  readonly maxSessions:
    | { readonly max: number; readonly exceed: "oldest" | "refuse" }
    | undefined;
}

/** Rotations by strictness: the stricter one includes what the other does. */
const STRICTNESS: Readonly<Record<SocketRotation, number>> = {
  follow: 1,
  leave: 2,
  reconnect: 3,
};

/** The stricter of two rotations. */
export function stricter(
  a: SocketRotation,
  b: SocketRotation | undefined,
): SocketRotation {
  return b !== undefined && STRICTNESS[b] > STRICTNESS[a] ? b : a;
}

/** Whether a change gives the session to a user. */
export function isLogin(users: UserChange | undefined): boolean {
  return users?.to !== undefined && users.from !== users.to;
}

/** Applies the options that concern users. */
export class UserPolicy {
  readonly #options: UserOptions;
  readonly #store: StoreAccess;
  readonly #lookup: SessionLookup;
  readonly #termination: SessionTermination;
  readonly #undo: Undo;
  readonly #logins: Mutex<string>;
  #warned = false;

  constructor(
    options: UserOptions,
    store: StoreAccess,
    lookup: SessionLookup,
    termination: SessionTermination,
    undo: Undo,
  ) {
    this.#undo = undo;
    this.#options = options;
    this.#store = store;
    this.#lookup = lookup;
    this.#termination = termination;
    this.#logins = new Mutex(options.lockTimeout);
  }

  /** Whether sockets enter sessions at their handshake only. */
  get reconnects(): boolean {
    return this.#options.onUserChange === "reconnect";
  }

  /** Whether a change of user may give a session a new id. */
  get rotates(): boolean {
    const { onUserChange } = this.#options;
    return onUserChange !== undefined && onUserChange !== "keep";
  }

  /** Whether the number of a user's sessions is limited. */
  get limits(): boolean {
    return this.#options.maxSessions !== undefined;
  }

  /** The rotation that a change of user calls for, if any. */
  rotationFor(change: UserChange | undefined): SocketRotation | undefined {
    const { onUserChange } = this.#options;
    return change === undefined || onUserChange === "keep"
      ? undefined
      : onUserChange;
  }

  /** A change of user was made where no cookie can be sent: a login this way is warned of once. */
  idsKept({ to }: UserChange): void {
    if (this.#warned || to === undefined || !this.reconnects) return;
    this.#warned = true;
    console.warn(
      "[koa-io-session] A session was given to a user where no cookie can be sent: its id stays. Log in over HTTP, so that the session gets a new id.",
    );
  }

  /**
   * Makes a write that gives a session to a user, within `maxSessions`. Logins
   * of one user run one after another, across processes on a shared store.
   *
   * @param user the new user; with `undefined` the write is made at once
   * @param own ids of sessions that the write takes the place of; not counted
   * @param write resolves to `undefined` where it has written nothing
   * @throws {SessionLimitError} when the user has too many and `exceed` is "refuse"
   * @throws {SessionTimeoutError} when the wait for other logins exceeds `lockTimeout`
   */
  async withinLimit<T>(
    user: string | undefined,
    own: readonly string[],
    write: () => Promise<T>,
  ): Promise<T> {
    const { maxSessions } = this.#options;
    if (maxSessions === undefined || user === undefined) return await write();
    return await this.#exclusive(user, async () => {
      const sessions = (await this.#lookup.ofUser(user))
        .filter(({ sid }) => !own.includes(sid));
      const excess = sessions.length - maxSessions.max + 1;
      if (excess > 0 && maxSessions.exceed === "refuse") {
        throw new SessionLimitError(maxSessions.max);
      }
      const result = await write();
      // after the write: a login that fails ends nothing
      if (result === undefined) return result;
      await Promise.all(
        leastRecentlyUsed(sessions, excess).map((session) =>
          this.#displace(session, user)
        ),
      );
      return result;
    });
  }

  /** Ends a session that exceeds the limit. The login is stored by now: where the store fails, it stands. */
  async #displace({ sid, record }: Found, user: string): Promise<void> {
    const isMeant = (moved: SessionRecord) => moved.user === user;
    try {
      await this.#termination.end(sid, "displaced", { record, isMeant });
    } catch {
      this.#undo.start(sid, undefined);
    }
  }

  async #exclusive<T>(user: string, act: () => Promise<T>): Promise<T> {
    const { lockTimeout, maxWaiting } = this.#options;
    if (this.#logins.waiting(user) >= maxWaiting) {
      throw new SessionTimeoutError("queue", maxWaiting);
    }
    try {
      const hold = (await this.#logins.acquire(user))!;
      try {
        return await (this.#store.isShared
          ? this.#locked(`user:${user}`, act)
          : act());
      } finally {
        this.#logins.release(hold);
      }
    } catch (error) {
      if (!(error instanceof WaitTimeout)) throw error;
      throw new SessionTimeoutError("wait", lockTimeout);
    }
  }

  /** Holds a lock of the shared store. */
  async #locked<T>(name: string, act: () => Promise<T>): Promise<T> {
    const { lockTimeout } = this.#options;
    const token = generateUid(22);
    const until = Date.now() + lockTimeout;
    const call = <R>(run: (store: SharedStore) => Promise<R>) =>
      this.#store.call("write", (records) => run(records as SharedStore));
    while (!await call((store) => store.tryLock(name, token, lockTimeout))) {
      if (Date.now() >= until) {
        throw new SessionTimeoutError("wait", lockTimeout);
      }
      const pause = LOCK_RETRY * (0.5 + Math.random());
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    try {
      return await act();
    } finally {
      // not awaited: a lock that is not released expires
      Promise.resolve(call((store) => store.unlock(name, token)))
        .catch(() => {});
    }
  }
}

function leastRecentlyUsed(
  sessions: readonly Found[],
  count: number,
): readonly Found[] {
  const used = ({ record }: Found) => record.lastUsed ?? 0;
  return [...sessions].sort((a, b) => used(a) - used(b))
    .slice(0, Math.max(count, 0));
}
