/**
 * The entries of a store in memory: records by id, by expiry, and by client
 * and user.
 *
 * @module
 */
import { ExpiryHeap, type Scheduled } from "../../base/expiry_heap.ts";
import { OwnerIndex } from "../indexes.ts";
import { pack, type Packed, unpack } from "./packed.ts";
import { TtlMap } from "../../base/ttl_map.ts";
import {
  EXPIRED_GRACE,
  type MoveCondition,
  type MoveResult,
  type RemovalReason,
  type ScannedSession,
  type SessionRecord,
  type StoredRecord,
} from "../../api/store.ts";

/** The fields that most records have in common: consecutive records with equal ones share an object. */
interface Terms
  extends Pick<SessionRecord, "maxAge" | "absoluteEnd" | "settled"> {
  /** The base of packed times. */
  readonly epoch: number;
}

/** For how long an epoch is the base of new records, in ms: half of what a packed time can differ from it. */
const EPOCH = 2 ** 29;

/** The end of a cookie that, as usual, equals the record's `expires` at the time of the write. */
const AS_WRITTEN = true;

/** The unit of `arrived`: the doubles of this century are multiples of 1/4096 ms. */
const FRACTIONS = 4_096;

/**
 * A stored record, laid out to take little memory: a number beyond 2³¹ in a
 * field costs three times as much, and an object of its own 24 bytes. Only its
 * end, its last use and the end of its cookie ever change.
 */
export class Entry implements StoredRecord, Scheduled {
  slot = -1;
  readonly sid: string;
  readonly data: string;
  readonly version: number;
  readonly clientId: string | undefined;
  readonly user: string | undefined;
  readonly terms: Terms;
  readonly meta: string | undefined;
  readonly handle: string | undefined;
  /** As a rule the end is `maxAge` after the last use. */
  #expires: Packed;
  #lastUsed: Packed;
  readonly #created: Packed;
  readonly #authenticatedAt: Packed;
  readonly #arrived: Packed;
  #cookie: number | "session" | typeof AS_WRITTEN | undefined;

  /**
   * @param old the entry that this one replaces: equal fields are shared
   * @param terms the record's terms
   */
  constructor(
    sid: string,
    record: SessionRecord,
    version: number,
    old: Entry | undefined,
    terms: Terms,
  ) {
    this.sid = shared(sid, old?.sid ?? sid);
    this.data = record.data;
    this.version = version;
    this.clientId = shared(record.clientId, old?.clientId);
    this.user = record.user;
    this.terms = terms;
    this.meta = shared(record.meta, old?.meta);
    this.handle = shared(record.handle, old?.handle);
    const { epoch, maxAge } = terms;
    const { created = 0 } = record;
    this.#expires = pack(record.expires, epoch + maxAge);
    this.#lastUsed = pack(record.lastUsed, epoch);
    this.#created = pack(record.created, epoch);
    this.#authenticatedAt = pack(record.authenticatedAt, created);
    this.#arrived = pack(record.arrived, created, FRACTIONS);
    this.#cookie = record.cookie === record.expires
      ? AS_WRITTEN
      : record.cookie;
  }

  get expires(): number {
    const { epoch, maxAge } = this.terms;
    return unpack(this.#expires, epoch + maxAge)!;
  }

  get lastUsed(): number | undefined {
    return unpack(this.#lastUsed, this.terms.epoch);
  }

  get cookie(): number | "session" | undefined {
    return this.#cookie === AS_WRITTEN ? this.expires : this.#cookie;
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

  get created(): number | undefined {
    return unpack(this.#created, this.terms.epoch);
  }

  get authenticatedAt(): number | undefined {
    return unpack(this.#authenticatedAt, this.created ?? 0);
  }

  get arrived(): number | undefined {
    return unpack(this.#arrived, this.created ?? 0, FRACTIONS);
  }

  /** Moves the end, within `absoluteEnd`, and the last use; earlier ones are ignored. */
  extend(expires: number, lastUsed: number | undefined): void {
    const end = Math.min(expires, this.absoluteEnd ?? Infinity);
    const used = Math.max(lastUsed ?? -Infinity, this.lastUsed ?? -Infinity);
    const { epoch, maxAge } = this.terms;
    if (end > this.expires) {
      this.#cookie = this.cookie;
      this.#expires = pack(end, epoch + maxAge);
    }
    this.#lastUsed = pack(used === -Infinity ? undefined : used, epoch);
  }

  /** A copy for a reader, which later changes do not affect. */
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
      created: this.created,
      authenticatedAt: this.authenticatedAt,
      lastUsed: this.lastUsed,
      arrived: this.arrived,
      meta: this.meta,
      handle: this.handle,
    };
  }
}

/** The entries of a store, with their indexes by expiry, client and user. */
export class MemoryEntries {
  readonly owners = new OwnerIndex();
  readonly #limit: number;
  readonly #removed: (entry: Entry, reason: RemovalReason) => void;
  readonly #entries = new Map<string, Entry>();
  readonly #ends = new ExpiryHeap<Entry>();
  /** Recently expired entries: a reader can distinguish them from sessions that never were. */
  readonly #expired = new TtlMap<Entry>((old) => old.expires + EXPIRED_GRACE);
  readonly #terms: { provisional?: Terms; settled?: Terms } = {};
  #version = 0;

  /**
   * @param limit how many to hold at most
   * @param removed is called for each removed entry
   */
  constructor(
    limit: number,
    removed: (entry: Entry, reason: RemovalReason) => void,
  ) {
    this.#limit = limit;
    this.#removed = removed;
  }

  /** The number of entries, including expired ones that were not yet removed. */
  get size(): number {
    return this.#entries.size;
  }

  /** When the next entry may expire, ms since the epoch. */
  get next(): number | undefined {
    return this.#ends.next;
  }

  /** The ids of all entries. */
  ids(): IterableIterator<string> {
    return this.#entries.keys();
  }

  /** All entries, including expired ones that were not yet removed. */
  values(): IterableIterator<Entry> {
    return this.#entries.values();
  }

  /** The live entries, in batches. A use moves an entry to the end where there is a limit: it is not found twice. */
  *scan(limit: number): Generator<ScannedSession[]> {
    const found = this.#limit === Infinity ? undefined : new Set<string>();
    let batch: ScannedSession[] = [];
    for (const entry of this.#entries.values()) {
      const { sid } = entry;
      if (entry.expires <= Date.now() || found?.has(sid)) continue;
      found?.add(sid);
      batch.push({ sid, record: entry.snapshot() });
      if (batch.length < limit) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }

  /** The entry of this id, even if it has expired within the grace period. */
  find(sid: string): Entry | undefined {
    const entry = this.#entries.get(sid);
    if (entry !== undefined && this.#use(entry)) return entry;
    const expired = entry ?? this.#expired.get(sid);
    return expired && Date.now() < expired.expires + EXPIRED_GRACE
      ? expired
      : undefined;
  }

  /** The entry of this id, if it is alive. */
  alive(sid: string): Entry | undefined {
    const entry = this.#entries.get(sid);
    return entry !== undefined && this.#use(entry) ? entry : undefined;
  }

  /** The live entry that was last bound to a client. */
  aliveOf(clientId: string | undefined): Entry | undefined {
    const sid = clientId === undefined
      ? undefined
      : this.owners.byClient(clientId);
    return sid === undefined ? undefined : this.alive(sid);
  }

  /** Writes an entry. The limit is only enforced by {@linkcode MemoryEntries.trim}. */
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

  /**
   * Replaces an entry by one of another id. The removal is not reported.
   *
   * @returns the result, and the entry that was replaced
   */
  move(
    from: string,
    to: string,
    record: SessionRecord,
    condition: MoveCondition,
  ): MoveResult & { readonly old?: Entry } {
    const old = this.alive(from);
    if (!old) return { status: "missing" };
    if (!("expected" in condition) || old.version !== condition.expected) {
      return { status: "lost" };
    }
    if (this.alive(to)) return { status: "taken" };
    const terms = this.#termsOf(record, old);
    const entry = new Entry(to, record, ++this.#version, old, terms);
    this.#entries.delete(old.sid);
    this.#expired.delete(to);
    this.#ends.replace(old, entry);
    this.#entries.set(entry.sid, entry);
    this.owners.move(old.sid, entry.sid, old, entry);
    return { status: "done", version: entry.version, old };
  }

  /** Removes an entry and reports it. */
  remove(entry: Entry, reason: RemovalReason): void {
    this.#entries.delete(entry.sid);
    this.#ends.remove(entry);
    this.owners.remove(entry.sid, entry);
    if (reason === "expired") this.#expired.set(entry.sid, entry);
    this.#removed(entry, reason);
  }

  /** Removes an entry if there is one too many: an expired one, else the least recently used. */
  trim(): void {
    if (this.#entries.size <= this.#limit) return;
    const expired = this.#ends.take(Date.now());
    if (expired) return this.remove(expired, "expired");
    const { value: oldest } = this.#entries.values().next();
    if (oldest) this.remove(oldest, "evicted");
  }

  /** Removes at most `limit` expired entries; returns how many. */
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
    const now = Date.now();
    if (old && isSame(old.terms, record, now)) return old.terms;
    const { maxAge, absoluteEnd, settled } = record;
    // provisional and settled sessions each share the last terms
    const kind = settled ? "settled" : "provisional";
    const last = this.#terms[kind];
    if (last && isSame(last, record, now)) return last;
    return this.#terms[kind] = { maxAge, absoluteEnd, settled, epoch: now };
  }

  /** Removes the entry if it has expired, else marks it as used; returns whether it is alive. */
  #use(entry: Entry): boolean {
    if (entry.expires <= Date.now()) {
      this.remove(entry, "expired");
      return false;
    }
    // a Map keeps the order of insertion: the least recently used is first
    if (this.#limit !== Infinity) {
      this.#entries.delete(entry.sid);
      this.#entries.set(entry.sid, entry);
    }
    return true;
  }
}

function isSame(terms: Terms, record: SessionRecord, now: number): boolean {
  return now - terms.epoch < EPOCH && terms.maxAge === record.maxAge &&
    terms.settled === record.settled &&
    terms.absoluteEnd === record.absoluteEnd;
}

/** A text as the former entry has it, where it is the same: one copy is kept. */
function shared<T extends string | undefined>(text: T, former: T): T {
  return former === text ? former : text;
}
