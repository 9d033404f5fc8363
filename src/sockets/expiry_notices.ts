/**
 * Tells the sockets of a session that it will end, some time before it does.
 *
 * @module
 */
import type { SessionRegistry, TrackedSession } from "../identity/registry.ts";
import { Alarm, ExpiryHeap, type Scheduled } from "../base/expiry_heap.ts";
import { type Awaitable, isAlive, type StoredRecord } from "../api/store.ts";
import { RETRY } from "../base/timers.ts";
import type { Socket } from "socket.io";
import { emitTo } from "./client_events.ts";

/** When a session is to be looked at. */
class Notice implements Scheduled {
  slot = -1;
  /** The end that was told of. */
  told: number | undefined;

  constructor(readonly known: TrackedSession, public expires: number) {}
}

/** What the notices need of the others. */
export interface ExpiryNoticesDeps {
  readonly clients: SessionRegistry<Socket>;
  /** Reads a record and draws no conclusions. */
  peek(sid: string): Awaitable<StoredRecord | undefined>;
  failed(error: unknown): void;
}

/** See the module's text. Sessions without sockets in this process are not looked at. */
export class ExpiryNotices {
  readonly #ms: number;
  readonly #host: ExpiryNoticesDeps;
  readonly #notices = new Map<TrackedSession, Notice>();
  readonly #heap = new ExpiryHeap<Notice>();
  readonly #alarm: Alarm;

  /** @param ms how long before the end */
  constructor(ms: number, host: ExpiryNoticesDeps) {
    this.#ms = ms;
    this.#host = host;
    this.#alarm = new Alarm(() => this.#ring());
  }

  /** A session has a socket more. */
  watch(known: TrackedSession): void {
    const notice = this.#notices.get(known);
    if (!notice) {
      const first = new Notice(known, 0);
      this.#notices.set(known, first);
      this.#schedule(first, known.expires - this.#ms);
    } else if (notice.told !== undefined) {
      // the new one has not heard of it
      notice.told = undefined;
      this.#schedule(notice, Date.now());
    }
  }

  /** A session is over, or has no sockets any more. */
  forget(known: TrackedSession): void {
    const notice = this.#notices.get(known);
    if (!notice) return;
    this.#notices.delete(known);
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

  #ring(): void {
    const now = Date.now();
    for (let notice; (notice = this.#heap.take(now)) !== undefined;) {
      const due = notice;
      this.#look(due).catch((error) => {
        this.#again(due, Date.now() + RETRY);
        this.#host.failed(error);
      });
    }
    const { next } = this.#heap;
    if (next !== undefined) this.#alarm.set(next);
  }

  /** Activity may have prolonged the life: the store knows. */
  async #look(notice: Notice): Promise<void> {
    const { known } = notice;
    const record = await this.#host.peek(known.sid);
    const client = this.#host.clients.client(known.clientId);
    if (client?.session !== known || !isAlive(record)) {
      if (this.#notices.get(known) === notice) this.#notices.delete(known);
      return;
    }
    const inMs = record.expires - Date.now();
    if (inMs > this.#ms) {
      return this.#again(notice, record.expires - this.#ms);
    }
    if (notice.told !== record.expires) {
      notice.told = record.expires;
      for (const socket of client.sockets) {
        emitTo(socket, "session:expiring", { inMs });
      }
    }
    // if it lives on then, there is another end to tell of
    this.#again(notice, record.expires);
  }

  #again(notice: Notice, at: number): void {
    if (this.#notices.get(notice.known) === notice) this.#schedule(notice, at);
  }
}
