/**
 * Notifies the sockets of a session some time before it expires.
 *
 * @module
 */
import type { SessionRegistry, TrackedSession } from "../identity/registry.ts";
import { Alarm, ExpiryHeap, type Scheduled } from "../base/expiry_heap.ts";
import { type Awaitable, isAlive, type StoredRecord } from "../api/store.ts";
import { RETRY } from "../base/timers.ts";
import { emitTo } from "./client_events.ts";

/** When a session is to be checked; `expires` is the time of that check. */
class Notice implements Scheduled {
  slot = -1;
  /** The expiry that its sockets were notified of. */
  notified: number | undefined;

  constructor(readonly session: TrackedSession, public expires: number) {}
}

/** What the notices need. */
export interface ExpiryNoticesDeps {
  readonly registry: SessionRegistry;
  /** Reads a record without any consequence for the session. */
  read(sid: string): Awaitable<StoredRecord | undefined>;
  failed(error: unknown): void;
}

/** Emits `session:expiring`. Sessions without sockets in this process are not checked. */
export class ExpiryNotices {
  readonly #ms: number;
  readonly #deps: ExpiryNoticesDeps;
  readonly #notices = new Map<TrackedSession, Notice>();
  readonly #heap = new ExpiryHeap<Notice>();
  readonly #alarm: Alarm;

  /** @param ms how long before the expiry */
  constructor(ms: number, deps: ExpiryNoticesDeps) {
    this.#ms = ms;
    this.#deps = deps;
    this.#alarm = new Alarm(() => this.#checkDue());
  }

  /** A session has one more socket. */
  watch(session: TrackedSession): void {
    const notice = this.#notices.get(session);
    if (!notice) {
      const first = new Notice(session, 0);
      this.#notices.set(session, first);
      this.#schedule(first, session.expires - this.#ms);
    } else if (notice.notified !== undefined) {
      // the new socket has not received it
      notice.notified = undefined;
      this.#schedule(notice, Date.now());
    }
  }

  /** A session ended, or has no sockets any more. */
  forget(session: TrackedSession): void {
    const notice = this.#notices.get(session);
    if (!notice) return;
    this.#notices.delete(session);
    this.#heap.remove(notice);
  }

  close(): void {
    this.#alarm.stop();
    this.#notices.clear();
  }

  #schedule(notice: Notice, at: number): void {
    notice.expires = at;
    this.#heap.schedule(notice);
    this.#alarm.set(this.#heap.next!);
  }

  #checkDue(): void {
    const now = Date.now();
    for (let notice; (notice = this.#heap.take(now)) !== undefined;) {
      const due = notice;
      this.#check(due).catch((error) => {
        this.#reschedule(due, Date.now() + RETRY);
        this.#deps.failed(error);
      });
    }
    const { next } = this.#heap;
    if (next !== undefined) this.#alarm.set(next);
  }

  /** Reads the record, as activity may have prolonged the session. */
  async #check(notice: Notice): Promise<void> {
    const { session } = notice;
    const record = await this.#deps.read(session.sid);
    const client = this.#deps.registry.client(session.clientId);
    if (client?.session !== session || !isAlive(record)) {
      if (this.#notices.get(session) === notice) this.#notices.delete(session);
      return;
    }
    const inMs = record.expires - Date.now();
    if (inMs > this.#ms) {
      return this.#reschedule(notice, record.expires - this.#ms);
    }
    if (notice.notified !== record.expires) {
      notice.notified = record.expires;
      for (const socket of client.members) {
        emitTo(socket, "session:expiring", { inMs });
      }
    }
    // if it is prolonged until then, there is another expiry to announce
    this.#reschedule(notice, record.expires);
  }

  #reschedule(notice: Notice, at: number): void {
    if (this.#notices.get(notice.session) === notice) {
      this.#schedule(notice, at);
    }
  }
}
