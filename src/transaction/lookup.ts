/**
 * Finding sessions by id, by client, by user and by a former id, and changing
 * what a record holds beside the data.
 *
 * @module
 */
import { SessionTimeoutError } from "../api/errors.ts";
import {
  type Awaitable,
  type FormerId,
  isAlive,
  type ScannedSession,
  type SessionRecord,
  type SharedStore,
  type StoredRecord,
} from "../api/store.ts";
import { chain } from "../base/async.ts";
import { LOAD, sourceOf } from "../base/tracing.ts";
import type { SchemaGuard } from "./schema_guard.ts";
import type { SessionLocks } from "./session_lock.ts";
import type { SessionObserver } from "./session_observer.ts";
import type { StoreAccess } from "./store_access.ts";

/** Limit of rotations that are followed to find or to end a session. */
export const MAX_MOVES = 20;

/** A session that was found. */
export interface Found {
  readonly sid: string;
  readonly record: StoredRecord;
}

/** Reads of sessions outside transactions. */
export class SessionLookup {
  readonly #store: StoreAccess;
  readonly #locks: SessionLocks;
  readonly #observer: Pick<SessionObserver, "missed">;
  readonly #guard: SchemaGuard | undefined;

  /** @param guard applies the option `schema` to what is loaded */
  constructor(
    store: StoreAccess,
    locks: SessionLocks,
    observer: Pick<SessionObserver, "missed">,
    guard: SchemaGuard | undefined,
  ) {
    this.#store = store;
    this.#locks = locks;
    this.#observer = observer;
    this.#guard = guard;
  }

  /** Whether what is loaded has to pass a schema. */
  get validates(): boolean {
    return this.#guard !== undefined;
  }

  /** Reads a record for its data; one that expired within the grace period is still returned. */
  load(sid: string, ctx?: unknown): Awaitable<StoredRecord | undefined> {
    if (!LOAD.enabled) return this.#load(sid, ctx);
    return LOAD.run(
      sid,
      sourceOf(ctx),
      () => this.#load(sid, ctx),
      (record) => isAlive(record) ? "found" : "missing",
    );
  }

  #load(sid: string, ctx: unknown): Awaitable<StoredRecord | undefined> {
    const { tombstones } = this.#store;
    const since = tombstones.clock;
    const found = this.find(sid, ctx);
    if (!this.#guard) return found;
    const checking = chain(found, (record) => this.validated(sid, record));
    if (!(checking instanceof Promise)) return checking;
    // the session may have ended during an asynchronous validation
    return checking.then((record) =>
      isAlive(record) && tombstones.hides(sid, since) ? undefined : record
    );
  }

  /** A record as the schema makes it; `undefined` when the schema ended the session. */
  validated<R extends StoredRecord | undefined>(
    sid: string,
    record: R,
  ): Awaitable<R | undefined> {
    return this.#guard && isAlive(record)
      ? this.#guard.loaded(sid, record) as Awaitable<R | undefined>
      : record;
  }

  /** Reads a record for what it holds beside the data: the schema is not applied. */
  find(sid: string, ctx?: unknown): Awaitable<StoredRecord | undefined> {
    // a read that overlaps the write which begins the session may miss it
    const mayBeEarly = this.#store.tombstones.isWriting(sid);
    return chain(this.#store.read(sid, ctx), (record) => {
      if (!isAlive(record) && !mayBeEarly) this.#observer.missed(sid);
      return record;
    });
  }

  /** Reads a record and reports nothing to the observer. */
  readSilently(sid: string): Awaitable<StoredRecord | undefined> {
    return this.#store.read(sid, undefined);
  }

  /** What the store keeps of an id whose session was rotated or replaced. */
  former(sid: string): Awaitable<FormerId | undefined> {
    return this.#store.call("read", (records) => records.former(sid));
  }

  /** The new id of a session that was rotated with `"follow"`; any other rotation is not followed. */
  movedTo(sid: string): Awaitable<string | undefined> {
    return chain(
      this.former(sid),
      (former) => former?.note === "follow" ? former.to : undefined,
    );
  }

  /** The live session whose id has this hash; `undefined` where the store has no such look-up. */
  async byHash(hash: string): Promise<string | undefined> {
    if (!this.#store.isShared) return undefined;
    return await this.#store.call(
      "read",
      (records) => (records as SharedStore).byHash(hash),
    );
  }

  /**
   * The live session that is bound to a client.
   *
   * @param forData whether the data is used, so that the schema applies
   */
  async ofClient(
    clientId: string,
    ctx?: unknown,
    forData = false,
  ): Promise<Found | undefined> {
    const sid = await this.#store.call(
      "read",
      (records) => records.byClient(clientId),
    );
    return sid === undefined
      ? undefined
      : await this.boundTo(sid, clientId, ctx, forData);
  }

  /**
   * The session with this id, or the one that it was moved to, if it is alive
   * and bound to this client: the index is a hint, the record decides.
   */
  async boundTo(
    sid: string,
    clientId: string,
    ctx?: unknown,
    forData = false,
  ): Promise<Found | undefined> {
    const found = await this.#current(sid, ctx, forData);
    return found?.record.clientId === clientId ? found : undefined;
  }

  /** The live sessions that belong to a user. See {@linkcode SessionLookup.ofClient}. */
  async ofUser(user: string, forData = false): Promise<readonly Found[]> {
    const sids = await this.#store.call(
      "read",
      (records) => records.byUser(user),
    );
    const all = await Promise.all(
      sids.map((sid) => this.#current(sid, undefined, forData)),
    );
    // one that moves between the two reads may be found by both ids
    const bySid = new Map<string, Found>();
    for (const found of all) {
      if (found?.record.user === user) bySid.set(found.sid, found);
    }
    return [...bySid.values()];
  }

  /**
   * The live sessions, in batches.
   *
   * @throws {TypeError} when the store cannot list them
   * @throws {SessionStoreError} when the store failed
   */
  async *scan(
    action: string,
    limit: number,
  ): AsyncGenerator<readonly ScannedSession[], void, undefined> {
    const { tombstones } = this.#store;
    const since = tombstones.clock;
    for await (const batch of this.#store.scan(action, limit)) {
      yield batch.filter(({ sid, record }) =>
        isAlive(record) && !tombstones.hides(sid, since)
      );
    }
  }

  /** Whether the session of this id is alive, here or under the id that it was moved to. */
  async goesOn(sid: string): Promise<boolean> {
    return await this.#current(sid, undefined, false) !== undefined;
  }

  /** The session of this id, under its new one where it was moved since the index was read, if it is alive. */
  async #current(
    sid: string,
    ctx: unknown,
    forData: boolean,
  ): Promise<Found | undefined> {
    for (let moves = 0; moves < MAX_MOVES; moves++) {
      const record =
        await (forData ? this.load(sid, ctx) : this.find(sid, ctx));
      if (isAlive(record)) return { sid, record };
      const former = await this.former(sid);
      if (former?.to === undefined) return undefined;
      sid = former.to;
    }
    return undefined;
  }

  /**
   * Changes the binding of a session.
   *
   * @param change makes the change of the record that is stored
   * @returns the new record; `record` itself when the session was held for
   * longer than `lockTimeout`, so that a later request repeats the change;
   * `undefined` when the session has ended
   */
  async updateBinding(
    sid: string,
    record: StoredRecord,
    change: (
      stored: StoredRecord,
    ) => Partial<Pick<SessionRecord, "clientId" | "settled" | "user">>,
    ctx: unknown,
  ): Promise<StoredRecord | undefined> {
    const { tombstones } = this.#store;
    const since = tombstones.clock;
    const updated = (record: StoredRecord) =>
      tombstones.hides(sid, since) ? undefined : record;
    const next = { ...record, ...change(record) };
    const version = await this.#locks.writeBinding(
      sid,
      next,
      record.version,
      ctx,
    );
    if (version !== undefined) return updated({ ...next, version });
    try {
      const opened = await this.#locks.open(sid, ctx);
      if ("missing" in opened) return undefined;
      const { version } = opened.record;
      const next = {
        ...opened.record,
        // the loaded data has passed the schema
        ...version === record.version ? { data: record.data } : {},
        ...change(opened.record),
      };
      const closed = await opened.close(next);
      if (closed.status === "done") {
        return updated({ ...next, version: closed.version });
      }
      opened.release();
      if (closed.status === "ended") return undefined;
    } catch (error) {
      if (!(error instanceof SessionTimeoutError)) throw error;
    }
    return record;
  }

  /** Records that a session was used now, without prolonging its life. */
  async noteUse(sid: string, ctx?: unknown): Promise<void> {
    await this.#locks.touch(sid, 0, ctx);
  }

  /** Extends the life of a session by `maxAge` ms from now, unless a holder does so itself. */
  async touch(sid: string, maxAge: number, ctx?: unknown): Promise<boolean> {
    return await this.#locks.touch(sid, Date.now() + maxAge, ctx);
  }
}
