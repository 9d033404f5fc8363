/**
 * What a store in memory holds: records by id, by when they end, by whose they
 * are.
 *
 * @module
 */
import { ExpiryHeap, type Scheduled } from "../../base/expiry_heap.ts";
import { OwnerIndex } from "../indexes.ts";
import { TtlMap } from "../../base/ttl_map.ts";
import {
  EXPIRED_GRACE,
  type RemovalReason,
  type SessionRecord,
  type StoredRecord,
} from "../../api/store.ts";

/** What most records have in common: kept once for all that follow each other with the same. */
type Terms = Pick<SessionRecord, "maxAge" | "absoluteEnd" | "settled">;

/** A cookie that ends, as most do, when the record did as it was written. */
const AS_WRITTEN = true;

/**
 * A record where it is kept, as small as may be: a number beyond 2³¹ in a field
 * costs three times as much. Nothing but its end ever changes.
 */
export class Entry implements StoredRecord, Scheduled {
  slot = -1;
  readonly sid: string;
  readonly data: string;
  readonly version: number;
  readonly clientId: string | undefined;
  readonly user: string | undefined;
  readonly terms: Terms;
  #expires: number;
  #cookie: number | "session" | typeof AS_WRITTEN | undefined;

  /**
   * @param old the entry that this one takes over from: equal ids are kept once
   * @param terms those of the record
   */
  constructor(
    sid: string,
    record: SessionRecord,
    version: number,
    old: Entry | undefined,
    terms: Terms,
  ) {
    this.sid = old?.sid ?? sid;
    this.data = record.data;
    this.version = version;
    this.clientId = old !== undefined && old.clientId === record.clientId
      ? old.clientId
      : record.clientId;
    this.user = record.user;
    this.terms = terms;
    this.#expires = record.expires;
    this.#cookie = record.cookie === record.expires
      ? AS_WRITTEN
      : record.cookie;
  }

  get expires(): number {
    return this.#expires;
  }

  set expires(at: number) {
    this.#cookie = this.cookie;
    this.#expires = at;
  }

  get cookie(): number | "session" | undefined {
    return this.#cookie === AS_WRITTEN ? this.#expires : this.#cookie;
  }

  get maxAge(): number {
    return this.terms.maxAge;
  }

  get absoluteEnd(): number | undefined {
    return this.terms.absoluteEnd;
  }

  get settled(): boolean {
    return this.terms.settled;
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
export class MemoryEntries {
  readonly owners = new OwnerIndex();
  readonly #limit: number;
  readonly #removed: (entry: Entry, reason: RemovalReason) => void;
  readonly #entries = new Map<string, Entry>();
  readonly #ends = new ExpiryHeap<Entry>();
  /** Expired a moment ago: a reader is to learn that it expired, not that it never was. */
  readonly #expired = new TtlMap<Entry>((old) => old.expires + EXPIRED_GRACE);
  readonly #terms: { provisional?: Terms; settled?: Terms } = {};
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

  /** The ids of all of them. */
  ids(): IterableIterator<string> {
    return this.#entries.keys();
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

  /** Writes an entry. One too many is only removed by {@linkcode MemoryEntries.trim}. */
  put(sid: string, record: SessionRecord): Entry {
    const old = this.#entries.get(sid);
    const terms = this.#termsOf(record, old);
    const entry = new Entry(sid, record, ++this.#version, old, terms);
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

  #termsOf(record: SessionRecord, old: Entry | undefined): Terms {
    if (old && isSame(old.terms, record)) return old.terms;
    const { maxAge, absoluteEnd, settled } = record;
    // those of provisional sessions, and those of settled ones
    const kind = settled ? "settled" : "provisional";
    const last = this.#terms[kind];
    if (last && isSame(last, record)) return last;
    return this.#terms[kind] = { maxAge, absoluteEnd, settled };
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

function isSame(terms: Terms, record: SessionRecord): boolean {
  return terms.maxAge === record.maxAge && terms.settled === record.settled &&
    terms.absoluteEnd === record.absoluteEnd;
}
