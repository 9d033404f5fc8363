/**
 * Announcing sessions that a request begins or rotates: once, at its end. A
 * request may change the id of its session more than once (a login by passport
 * regenerates the session and then sets its user); events and messages to
 * other nodes name the first id and the last one only.
 *
 * @module
 */
import type { EndReason } from "../api/events.ts";
import type { SessionRecord } from "../api/store.ts";
import type { TrackedSession } from "../identity/registry.ts";
import type { RequestOrigin } from "../transaction/request_origin.ts";
import type {
  SocketRotation,
  UserChange,
} from "../transaction/session_observer.ts";
import { stricter } from "../transaction/user_policy.ts";

/** What is to be announced of one session. */
export interface Announcement {
  /** The session under the id that others know; `undefined` for one that began. */
  readonly previous: TrackedSession | undefined;
  /** The session under its present id. */
  readonly session: TrackedSession;
  /** Whether its start was reported already, as it was found under its present id. */
  readonly isReported: boolean;
  readonly sockets: SocketRotation;
  readonly userChange: UserChange | undefined;
}

/** Announcements that wait for the end of their requests. */
export class Announcements {
  readonly #announce: (announcement: Announcement) => void;
  /** By present session id. */
  readonly #waiting = new Map<string, { current: Announcement }>();

  constructor(announce: (announcement: Announcement) => void) {
    this.#announce = announce;
  }

  /** Announces at the end of the request; at once where there is none. */
  add(announcement: Announcement, request: RequestOrigin | undefined): void {
    if (!request) return this.#announce(announcement);
    const { previous, session } = announcement;
    const entry = previous && this.#waiting.get(previous.sid);
    if (entry) {
      this.#waiting.delete(previous.sid);
      entry.current = merged(entry.current, announcement);
      this.#waiting.set(session.sid, entry);
      return;
    }
    const first = { current: announcement };
    this.#waiting.set(session.sid, first);
    request.atEnd(() => this.flush(first.current.session.sid));
  }

  /** Whether a session is to be announced. */
  isWaiting(sid: string): boolean {
    return this.#waiting.has(sid);
  }

  /** Announces a session now, if that waits: something else is to be reported of it. */
  flush(sid: string): void {
    if (this.#waiting.size === 0) return;
    const entry = this.#waiting.get(sid);
    if (!entry) return;
    this.#waiting.delete(sid);
    this.#announce(entry.current);
  }
}

function merged(first: Announcement, then: Announcement): Announcement {
  const from = first.userChange ?? then.userChange;
  const to = then.userChange ?? first.userChange;
  return {
    previous: first.previous,
    session: then.session,
    isReported: then.isReported,
    sockets: stricter(first.sockets, then.sockets),
    userChange: from && to && from.from !== to.to
      ? { from: from.from, to: to.to }
      : undefined,
  };
}

/** The reason for the end of a session's former id. */
export function endOf(change: UserChange | undefined): EndReason {
  return change?.from === undefined ? "rotated" : "logout";
}

/** The change of user between a session and its record on another node. */
export function changed(
  { user: from }: TrackedSession,
  { user: to }: SessionRecord,
): UserChange | undefined {
  return from === to ? undefined : { from, to };
}
