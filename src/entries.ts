/**
 * What a store in memory holds: records by id, by when they end, by whose they
 * are.
 *
 * @module
 */
import { ExpiryHeap, type Scheduled } from "./expiry.ts";
import { OwnerIndex } from "./owner_index.ts";
import { Recent } from "./recent.ts";
import {
  EXPIRED_GRACE,
  type RemovalReason,
  type SessionRecord,
  type StoredRecord,
} from "./store.ts";

/** A record where it is kept. Nothing but its end ever changes. */
export class Entry implements StoredRecord, Scheduled {
  slot = -1;
  readonly data: string;
  readonly version: number;
  readonly maxAge: number;
  expires: number;
  readonly absoluteEnd: number | undefined;
  readonly cookie: number | "session" | undefined;
  readonly clientId: string | undefined;
  readonly settled: boolean;
  readonly user: string | undefined;

  readonly sid: string;

  /** @param old the entry that this one takes over from: equal ids are kept once */
  constructor(
    sid: string,
    record: SessionRecord,
    version: number,
    old: Entry | undefined,
  ) {
    this.sid = old?.sid ?? sid;
    this.data = record.data;
    this.version = version;
    this.maxAge = record.maxAge;
    this.expires = record.expires;
    this.absoluteEnd = record.absoluteEnd;
    this.cookie = record.cookie;
    this.clientId = old !== undefined && old.clientId === record.clientId
      ? old.clientId
      : record.clientId;
    this.settled = record.settled;
    this.user = record.user;
  }

  /** What a reader gets: its own copy, as the session was when it was read. */
  snapshot(): StoredRecord {
    return {
      data: this.data,
      version: this.version,
      maxAge: this.maxAge,
      expires: this.expires,
      absoluteEnd: this.absoluteEnd,
      cookie: this.cookie,
      clientId: this.clientId,
      settled: this.settled,
      user: this.user,
    };
  }
}

/** See the module's text. */
export class Entries {
  readonly owners = new OwnerIndex();
  readonly #limit: number;
  readonly #removed: (entry: Entry, reason: RemovalReason) => void;
  readonly #entries = new Map<string, Entry>();
  readonly #ends = new ExpiryHeap<Entry>();
  /** Expired a moment ago: a reader is to learn that it expired, not that it never was. */
  readonly #expired = new Recent<Entry>((old) => old.expires + EXPIRED_GRACE);
  #version = 0;

  /**
   * @param limit how many to hold at most
   * @param removed is told of each that is gone
   */
  constructor(
    limit: number,
    removed: (entry: Entry, reason: RemovalReason) => void,
  ) {
    this.#limit = limit;
    this.#removed = removed;
  }

  /** How many there are, those included that have expired and were not yet removed. */
  get size(): number {
    return this.#entries.size;
  }

  /** When the next one may have expired, ms since the epoch. */
  get next(): number | undefined {
    return this.#ends.next;
  }

  /** All of them, those included that have expired and were not yet removed. */
  values(): IterableIterator<Entry> {
    return this.#entries.values();
  }

  /** The entry of this id, even if it expired a moment ago. */
  find(sid: string): Entry | undefined {
    const entry = this.#entries.get(sid);
    if (entry !== undefined && this.#look(entry)) return entry;
    const expired = entry ?? this.#expired.get(sid);
    return expired && Date.now() < expired.expires + EXPIRED_GRACE
      ? expired
      : undefined;
  }

  /** The entry of this id, if it is alive. */
  alive(sid: string): Entry | undefined {
    const entry = this.#entries.get(sid);
    return entry !== undefined && this.#look(entry) ? entry : undefined;
  }

  /** Writes an entry. One too many is only removed by {@linkcode Entries.trim}. */
  put(sid: string, record: SessionRecord): Entry {
    const old = this.#entries.get(sid);
    const entry = new Entry(sid, record, ++this.#version, old);
    if (old) this.#ends.replace(old, entry);
    else {
      this.#expired.delete(sid);
      this.#ends.schedule(entry);
    }
    this.#entries.set(sid, entry);
    if (old) this.owners.replace(entry.sid, old, entry);
    else this.owners.add(sid, entry);
    return entry;
  }

  remove(entry: Entry, reason: RemovalReason): void {
    this.#entries.delete(entry.sid);
    this.#ends.remove(entry);
    this.owners.remove(entry.sid, entry);
    if (reason === "expired") this.#expired.set(entry.sid, entry);
    this.#removed(entry, reason);
  }

  /** Makes room where there is one too many. */
  trim(): void {
    if (this.#entries.size <= this.#limit) return;
    const expired = this.#ends.take(Date.now());
    if (expired) return this.remove(expired, "expired");
    const { value: oldest } = this.#entries.values().next();
    if (oldest) this.remove(oldest, "evicted");
  }

  /** Removes what has expired, at most `limit` entries, and says how many. */
  expire(limit: number): number {
    const now = Date.now();
    let cleared = 0;
    while (cleared < limit) {
      const entry = this.#ends.take(now);
      if (!entry) break;
      this.remove(entry, "expired");
      cleared++;
    }
    return cleared;
  }

  /** Removes the entry if it has expired; says whether it is alive. */
  #look(entry: Entry): boolean {
    if (entry.expires <= Date.now()) {
      this.remove(entry, "expired");
      return false;
    }
    // a Map keeps the order of insertion: the least recently used stands first
    if (this.#limit !== Infinity) {
      this.#entries.delete(entry.sid);
      this.#entries.set(entry.sid, entry);
    }
    return true;
  }
}
