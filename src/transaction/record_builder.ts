/**
 * Builds the record that a write stores: at a creation, after a handler, after
 * a request, and after a merge of two writes.
 *
 * @module
 */
import { SessionConflictError } from "../api/errors.ts";
import type { Conflict } from "../api/events.ts";
import { diff, merge, type Patch } from "./patch.ts";
import type { RootScope } from "./scope.ts";
import type { SessionData, SessionRecord, StoredRecord } from "../api/store.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";
import type { SessionObserver } from "./session_observer.ts";

/** The options that concern the contents of records. */
export interface RecordOptions {
  readonly absoluteMaxAge: number | undefined;
  readonly touchInterval: number | false;
  readonly onConflict: "last" | "reject" | ((conflict: Conflict) => unknown);
  readonly user: ((session: SessionData) => string | undefined) | undefined;
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
  created(commit: SessionWrite, clientId: string): SessionRecord {
    const { absoluteMaxAge } = this.#options;
    const { data, maxAge, cookie } = commit;
    const now = Date.now();
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
      user: this.userOf(data),
    };
  }

  /** The record after a handler; `undefined` when there is nothing to write. */
  afterHandler(
    record: StoredRecord,
    data: string,
    cookie: RootScope["cookie"],
    touch: boolean | undefined,
  ): SessionRecord | undefined {
    const { touchInterval } = this.#options;
    const changed = data !== record.data;
    const maxAge = cookie?.maxAge ?? record.maxAge;
    const expires = this.#expires(record, maxAge);
    const due = touch && touchInterval !== false &&
      expires - record.expires >= touchInterval;
    if (!changed && !cookie && !due) return undefined;
    return {
      ...record,
      data,
      maxAge,
      expires: Math.max(expires, cookie ? 0 : record.expires),
      cookie: cookie?.cookie ?? record.cookie,
      user: changed ? this.userOf(data) : record.user,
    };
  }

  /** The record after a request. */
  afterRequest(
    current: SessionRecord,
    data: string,
    commit: SessionWrite,
  ): SessionRecord {
    // in full: an object literal that begins with a spread is four times slower
    return {
      data,
      maxAge: commit.maxAge,
      expires: this.#expires(current, commit.maxAge),
      absoluteEnd: current.absoluteEnd,
      cookie: commit.cookie,
      clientId: current.clientId,
      settled: current.settled,
      user: data === current.data ? current.user : this.userOf(data),
    };
  }

  #expires(record: SessionRecord, maxAge: number): number {
    return Math.min(Date.now() + maxAge, record.absoluteEnd ?? Infinity);
  }

  /** The user that a session belongs to, by the option `user`. */
  userOf(data: string): string | undefined {
    const user = this.#options.user?.(JSON.parse(data));
    if (user === undefined || user === null) return undefined;
    if (typeof user === "string") return user;
    throw new TypeError(
      `Cannot tell whom the session belongs to as the option user must return a string or undefined: received ${typeof user}`,
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
    if (conflicts.length > 0) {
      this.conflicts++;
      const resolution = typeof onConflict === "function"
        ? "custom"
        : onConflict;
      this.#observer.conflict({ sessionId: sid, keys: conflicts, resolution });
      if (onConflict === "reject") throw new SessionConflictError(conflicts);
    }
    return JSON.stringify(data);
  }
}

/** What a request changed. */
export function patchOf(base: SessionRecord, commit: SessionWrite): Patch {
  return base.data === commit.data
    ? new Map()
    : diff(JSON.parse(base.data), JSON.parse(commit.data));
}

/** What a record holds beside the data and its life. */
export function bindingOf(
  { clientId, settled, absoluteEnd }: SessionRecord,
): Pick<SessionRecord, "clientId" | "settled" | "absoluteEnd"> {
  return { clientId, settled, absoluteEnd };
}
