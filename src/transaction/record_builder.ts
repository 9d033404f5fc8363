/**
 * What a session's record is to be after a writer: after a handler, after a
 * request, after both at once.
 *
 * @module
 */
import { SessionConflictError } from "../api/errors.ts";
import type { Conflict, SessionConflict } from "../api/events.ts";
import { diff, merge, type Patch } from "./patch.ts";
import type { RootScope } from "./scope.ts";
import type { SessionData, SessionRecord, StoredRecord } from "../api/store.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";

/** What the editor needs to know of the options. */
export interface RecordOptions {
  readonly touchInterval: number | false;
  readonly onConflict: "last" | "reject" | ((conflict: Conflict) => unknown);
  readonly user: ((session: SessionData) => string | undefined) | undefined;
}

/** See the module's text. */
export class RecordBuilder {
  /** How many writes met another's change of the same key. */
  conflicts = 0;
  readonly #options: RecordOptions;
  readonly #conflict: (event: SessionConflict) => void;

  /** @param conflict is told of each conflict */
  constructor(
    options: RecordOptions,
    conflict: (event: SessionConflict) => void,
  ) {
    this.#options = options;
    this.#conflict = conflict;
  }

  /** The record after a handler, or `undefined` when there is nothing to write. */
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

  afterRequest(
    current: SessionRecord,
    data: string,
    commit: SessionWrite,
  ): SessionRecord {
    // in full: an object that begins with a spread is made four times slower
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

  /** Whom a session belongs to. */
  userOf(data: string): string | undefined {
    const user = this.#options.user?.(JSON.parse(data));
    if (user === undefined || user === null) return undefined;
    if (typeof user === "string") return user;
    throw new TypeError(
      `Cannot tell whom the session belongs to as the option user must return a string or undefined: received ${typeof user}`,
    );
  }

  /** The data that a request has in hand, laid over what is stored now. */
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
      this.#conflict({ sessionId: sid, keys: conflicts, resolution });
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

/** What a record says beside the data and its life. */
export function bindingOf(
  { clientId, settled, absoluteEnd }: SessionRecord,
): Pick<SessionRecord, "clientId" | "settled" | "absoluteEnd"> {
  return { clientId, settled, absoluteEnd };
}
