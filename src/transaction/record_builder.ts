/**
 * Builds the record that a write stores: at a creation, after a handler, after
 * a request, and after a merge of two writes.
 *
 * @module
 */
import { SessionConflictError } from "../api/errors.ts";
import type { Conflict } from "../api/events.ts";
import type { SessionData, SessionRecord, StoredRecord } from "../api/store.ts";
import { refuseResult } from "../base/arguments.ts";
import { generateUid } from "../base/ids.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";
import { diff, merge, type Patch } from "./patch.ts";
import type { RequestOrigin } from "./request_origin.ts";
import type { RootScope } from "./scope.ts";
import type { SessionObserver, UserChange } from "./session_observer.ts";

/** The length of a handle: 96 random bits. */
const HANDLE_LENGTH = 16;

/** The options that concern the contents of records. */
export interface RecordOptions {
  readonly absoluteMaxAge: number | undefined;
  readonly touchInterval: number | false;
  readonly onConflict: "last" | "reject" | ((conflict: Conflict) => unknown);
  readonly user: ((session: SessionData) => unknown) | undefined;
}

/** What a write says of its session's user, and the request behind it. */
export interface WriteOrigin {
  /** The users before and after, where the option `user` was asked. */
  readonly users?: UserChange | undefined;
  readonly request?: RequestOrigin | undefined;
}

/** The users before and after a write, if they differ. */
export function changeOf(
  users: UserChange | undefined,
): UserChange | undefined {
  return users && users.from !== users.to ? users : undefined;
}

/** Builds records, and resolves conflicts between writes. */
export class RecordBuilder {
  /** Writes that changed a key which another write had changed. */
  conflicts = 0;
  readonly #options: RecordOptions;
  readonly #observer: Pick<SessionObserver, "conflict">;

  constructor(
    options: RecordOptions,
    observer: Pick<SessionObserver, "conflict">,
  ) {
    this.#options = options;
    this.#observer = observer;
  }

  /** The record of a new session. */
  created(
    commit: SessionWrite,
    clientId: string,
    request: RequestOrigin,
  ): SessionRecord {
    const { absoluteMaxAge } = this.#options;
    const { data, maxAge, cookie } = commit;
    const now = Date.now();
    const user = this.userOf(data);
    const absoluteEnd = absoluteMaxAge === undefined
      ? undefined
      : now + absoluteMaxAge;
    return {
      data,
      maxAge,
      expires: Math.min(now + maxAge, absoluteEnd ?? Infinity),
      absoluteEnd,
      cookie,
      clientId,
      settled: false,
      user,
      created: now,
      authenticatedAt: user === undefined ? undefined : now,
      lastUsed: now,
      arrived: request.arrived,
      meta: request.meta(),
      handle: generateUid(HANDLE_LENGTH),
    };
  }

  /** The record after a handler; `undefined` when there is nothing to write. */
  afterHandler(
    record: StoredRecord,
    data: string,
    cookie: RootScope["cookie"],
    touch: boolean | undefined,
    origin: WriteOrigin,
  ): SessionRecord | undefined {
    const { touchInterval } = this.#options;
    const changed = data !== record.data;
    const maxAge = cookie?.maxAge ?? record.maxAge;
    const expires = this.#expires(record, maxAge);
    const due = touch && touchInterval !== false &&
      expires - record.expires >= touchInterval;
    if (!changed && !cookie && !due) return undefined;
    // in full: an object literal that begins with a spread is four times slower
    return this.#owned({
      data,
      maxAge,
      expires: cookie ? expires : Math.max(expires, record.expires),
      absoluteEnd: record.absoluteEnd,
      cookie: cookie?.cookie ?? record.cookie,
      clientId: record.clientId,
      settled: record.settled,
      user: record.user,
      created: record.created,
      authenticatedAt: record.authenticatedAt,
      lastUsed: Date.now(),
      arrived: record.arrived,
      meta: record.meta,
      handle: record.handle,
    }, origin);
  }

  /**
   * The life that a request gives to session and cookie: part of its patch, as
   * the data is.
   *
   * @param base the record that the request loaded
   */
  life(
    sid: string,
    base: SessionRecord,
    commit: SessionWrite,
    current: SessionRecord,
  ): Life {
    if (isSameLife(base, current)) return commit;
    if (isSameLife(base, commit)) return lifeOf(current);
    if (isSameLife(current, commit)) return commit;
    const mine = ageOf(commit);
    const { onConflict } = this.#options;
    const chosen = typeof onConflict === "function"
      ? onConflict({
        key: LIFE_KEY,
        base: ageOf(base),
        mine,
        theirs: ageOf(current),
      })
      : mine;
    this.#report(sid, [LIFE_KEY]);
    return chosen === ageOf(current) ? lifeOf(current) : commit;
  }

  /** The record after a request. */
  afterRequest(
    current: SessionRecord,
    data: string,
    { maxAge, cookie }: Life,
    origin: WriteOrigin,
  ): SessionRecord {
    return this.#owned({
      data,
      maxAge,
      expires: this.#expires(current, maxAge),
      absoluteEnd: current.absoluteEnd,
      cookie,
      clientId: current.clientId,
      settled: current.settled,
      user: current.user,
      created: current.created,
      authenticatedAt: current.authenticatedAt,
      lastUsed: Date.now(),
      arrived: current.arrived,
      meta: current.meta,
      handle: current.handle,
    }, origin);
  }

  #expires(record: SessionRecord, maxAge: number): number {
    return Math.min(Date.now() + maxAge, record.absoluteEnd ?? Infinity);
  }

  /** The record with its present user, and the fields that a change of user renews. */
  #owned(
    record: SessionRecord,
    { users, request }: WriteOrigin,
  ): SessionRecord {
    if (!users) return record;
    const user = users.to;
    if (!changeOf(users)) {
      return record.user === user ? record : { ...record, user };
    }
    return {
      ...record,
      user,
      // the time of this write: one clock is read once
      authenticatedAt: record.lastUsed,
      handle: generateUid(HANDLE_LENGTH),
      meta: user !== undefined && request ? request.meta() : record.meta,
    };
  }

  /**
   * The users of two states of a session, as the option `user` sees both at
   * present; `undefined` without the option, or for equal states.
   *
   * @param before the JSON text that is stored
   * @param after the JSON text that is to be stored
   */
  usersOf(before: string, after: string): UserChange | undefined {
    return this.#options.user && before !== after
      ? { from: this.userOf(before), to: this.userOf(after) }
      : undefined;
  }

  /**
   * A stored record with the user that the option sees at present: the option
   * may have been added, or changed, since it was written.
   */
  withPresentUser<R extends SessionRecord>(record: R): R {
    if (!this.#options.user) return record;
    const user = this.userOf(record.data);
    return user === record.user ? record : { ...record, user };
  }

  /**
   * The user that a session belongs to, by the option `user`.
   *
   * @throws {TypeError} when the option returns anything but a text, a number or nothing
   */
  userOf(data: string): string | undefined {
    const { user: option } = this.#options;
    const user = option?.(JSON.parse(data));
    if (user === undefined || user === null) return undefined;
    if (typeof user === "string" && user !== "") return user;
    if (typeof user === "number" && Number.isFinite(user)) return String(user);
    refuseResult(
      "tell the user of the session",
      "user",
      "a non-empty string, a number, null or undefined",
      user,
    );
  }

  /** The data of a request, with its pending changes merged into what is stored now. */
  rebased(
    sid: string,
    base: SessionRecord,
    data: string,
    current: SessionRecord,
  ): string {
    if (base.data === data) return current.data;
    const patch = diff(JSON.parse(base.data), JSON.parse(data));
    return this.merged(sid, base, patch, current);
  }

  /** The stored data with a patch applied; conflicts are resolved by the option `onConflict`. */
  merged(
    sid: string,
    base: SessionRecord,
    patch: Patch,
    current: SessionRecord,
  ): string {
    if (patch.size === 0) return current.data;
    const { onConflict } = this.#options;
    const { data, conflicts } = merge(
      JSON.parse(base.data),
      patch,
      JSON.parse(current.data),
      typeof onConflict === "function" ? onConflict : ({ mine }) => mine,
    );
    if (conflicts.length > 0) this.#report(sid, conflicts);
    return JSON.stringify(data);
  }

  /** @throws {SessionConflictError} with `onConflict: "reject"` */
  #report(sid: string, keys: readonly string[]): void {
    const { onConflict } = this.#options;
    this.conflicts++;
    const resolution = typeof onConflict === "function" ? "custom" : onConflict;
    this.#observer.conflict({ sessionId: sid, keys, resolution });
    if (onConflict === "reject") throw new SessionConflictError(keys);
  }
}

/** What a request changed. */
export function patchOf(base: SessionRecord, commit: SessionWrite): Patch {
  return base.data === commit.data
    ? new Map()
    : diff(JSON.parse(base.data), JSON.parse(commit.data));
}

/** The name of the life in conflicts: koa-session's own for it, which no data can have. */
const LIFE_KEY = "maxAge";

/** Life of session and cookie. */
export type Life = Pick<SessionWrite, "maxAge"> & {
  readonly cookie: SessionRecord["cookie"];
};

/** Whether two lives are equal: the end of the cookie moves with each write. */
export function isSameLife(a: Life, b: Life): boolean {
  return a.maxAge === b.maxAge &&
    (a.cookie === "session") === (b.cookie === "session");
}

/** A life as koa-session writes it in `ctx.session.maxAge`. */
function ageOf({ maxAge, cookie }: Life): number | "session" {
  return cookie === "session" ? cookie : maxAge;
}

/** The life of a record, from now. */
function lifeOf({ maxAge, cookie }: SessionRecord): Life {
  return {
    maxAge,
    cookie: cookie === "session" ? cookie : Date.now() + maxAge,
  };
}

/** What a record holds beside the data and its life. */
export function bindingOf(
  { clientId, settled, absoluteEnd }: SessionRecord,
): Pick<SessionRecord, "clientId" | "settled" | "absoluteEnd"> {
  return { clientId, settled, absoluteEnd };
}
