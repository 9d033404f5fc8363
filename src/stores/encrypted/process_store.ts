/**
 * An encrypted atomic store: the records of another one, under hashed ids.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import {
  type AtomicStore,
  type Awaitable,
  type BeginOptions,
  type BeginResult,
  type FormerId,
  isAlive,
  type MoveCondition,
  type MoveResult,
  type RemovalReason,
  type ScannedSession,
  type SessionRecord,
  type StoredRecord,
  type Version,
} from "../../api/store.ts";
import { chain } from "../../base/async.ts";
import { declareReports, reportsOf } from "../../base/store_reports.ts";
import type { StoreKey } from "./keys.ts";
import { all, isDefined, SealedSessions } from "./sealed_sessions.ts";
import { Sealing } from "./sealing.ts";

/** Limit of begins in place of sessions that end, or do not decrypt. */
const MAX_TRIES = 5;

/** Events of an encrypted store. */
interface Events {
  /** A value did not decrypt. */
  error: [error: Error];
  /** The wrapped store removed a session, and why. */
  removed: [sid: string, reason: RemovalReason, record: SessionRecord];
}

/** The removals that a wrapped store reports. */
interface ReportingStore {
  on?(event: "removed", listener: (...args: Events["removed"]) => void): void;
}

/** An encrypted store. */
export class EncryptedProcessStore implements AtomicStore {
  readonly scope: AtomicStore["scope"];
  protected readonly sealing: Sealing;
  protected readonly sessions: SealedSessions;
  readonly #store: AtomicStore;
  readonly #events = new EventEmitter();

  constructor(store: AtomicStore & ReportingStore, keys: readonly StoreKey[]) {
    this.#store = store;
    this.scope = store.scope;
    this.sealing = new Sealing(keys, (error) => {
      if (this.#events.listenerCount("error") > 0) {
        this.#events.emit("error", error);
      }
    });
    this.sessions = new SealedSessions(store, this.sealing);
    const { allRemovals } = reportsOf(store);
    declareReports(this, { allRemovals, errors: true });
    store.on?.("removed", (id, reason, stored) => {
      if (this.sessions.rekeying.has(id)) return;
      const opened = this.sealing.open(id, stored);
      if (opened) {
        this.#events.emit("removed", opened.sid, reason, opened.record);
      }
    });
  }

  /** Adds a listener: `"removed"` → `(sid, reason, record)`, `"error"` → `(error)` for a value that does not decrypt. */
  on<K extends keyof Events>(
    event: K,
    listener: (...args: Events[K]) => void,
  ): this {
    this.#events.on(event, listener as (...args: unknown[]) => void);
    return this;
  }

  /** Removes a listener that `on` added. */
  off<K extends keyof Events>(
    event: K,
    listener: (...args: Events[K]) => void,
  ): this {
    this.#events.off(event, listener as (...args: unknown[]) => void);
    return this;
  }

  read(sid: string): Awaitable<StoredRecord | undefined> {
    return chain(this.sessions.find(sid), (found) => found?.record);
  }

  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
  ): Awaitable<Version | undefined> {
    const id = this.sealing.idOf(sid);
    const sealed = this.sealing.seal(sid, record);
    const write = () => this.#store.write(id, sealed, expected);
    if (this.sealing.keys.length === 1) return write();
    if (expected === null) {
      return chain(
        this.read(sid),
        (found) => isAlive(found) ? undefined : write(),
      );
    }
    return chain(
      write(),
      (version) =>
        version ?? chain(
          this.sessions.rekey(sid, record, { expected }),
          (result) => result?.status === "done" ? result.version : write(),
        ),
    );
  }

  begin(
    sid: string,
    record: SessionRecord,
    options: BeginOptions = {},
  ): Awaitable<BeginResult> {
    const { replaces } = options;
    const ids = replaces?.map((other) => this.sealing.idOf(other));
    return chain(
      this.sessions.rekeyClient(record.clientId),
      () => this.#begin(sid, record, ids, MAX_TRIES),
    );
  }

  #begin(
    sid: string,
    record: SessionRecord,
    replaces: readonly string[] | undefined,
    tries: number,
  ): Awaitable<BeginResult> {
    const id = this.sealing.idOf(sid);
    const sealed = this.sealing.seal(sid, record);
    const options = replaces ? { replaces } : {};
    const begun = (result: BeginResult): Awaitable<BeginResult> => {
      if (!("before" in result) || result.before === undefined) return result;
      const { before } = result;
      return chain(
        this.sessions.open(before),
        (found): Awaitable<BeginResult> => {
          if (result.status === "begun") {
            return {
              ...result,
              before: found?.sid,
            };
          }
          if (found) return { ...result, before: found.sid };
          if (tries === 0) return { status: "superseded" };
          // it has ended, or does not decrypt and is no session
          const others = [...replaces ?? [], before];
          return this.#begin(sid, record, others, tries - 1);
        },
      );
    };
    return chain(this.#store.begin(id, sealed, options), begun);
  }

  extend(
    sid: string,
    expires: number,
    lastUsed?: number,
  ): Awaitable<boolean> {
    const extend = (id: string) => this.#store.extend(id, expires, lastUsed);
    return this.sessions.eachId(
      sid,
      (id, isFirst) =>
        chain(extend(id), (alive) => {
          if (!alive || isFirst) return alive;
          return chain(this.sessions.rekeyStored(id), () => true);
        }),
      (alive) => alive,
    );
  }

  destroy(sid: string, note?: string): Awaitable<boolean> {
    return this.sessions.eachId(
      sid,
      (id) =>
        this.#store.destroy(
          id,
          note === undefined ? undefined : this.sealing.sealNote(id, note),
        ),
      (existed) => existed,
    );
  }

  move(
    from: string,
    to: string,
    record: SessionRecord,
    condition: MoveCondition,
    note: string,
  ): Awaitable<MoveResult> {
    const id = this.sealing.idOf(to);
    const sealed = this.sealing.seal(to, record);
    return this.sessions.eachId<MoveResult>(
      from,
      (old) =>
        this.#store.move(
          old,
          id,
          sealed,
          condition,
          this.sealing.sealNote(old, note, to),
        ),
      ({ status }) => status !== "missing",
    );
  }

  former(sid: string): Awaitable<FormerId | undefined> {
    return this.sessions.eachId(
      sid,
      (id) => chain(this.#store.former(id), (kept) => this.#former(id, kept)),
      (kept) => kept !== undefined,
    );
  }

  #former(id: string, kept: FormerId | undefined): FormerId | undefined {
    const opened = kept && this.sealing.openNote(id, kept.note);
    if (!opened || opened.rekeyed) return undefined;
    return { to: opened.to, at: kept!.at, note: opened.note };
  }

  byClient(clientId: string): Awaitable<string | undefined> {
    return this.sessions.firstOf((key) =>
      chain(
        this.#store.byClient(key.hash("client", clientId)),
        (id) => id === undefined ? undefined : this.sessions.sidOf(id),
      )
    );
  }

  byUser(user: string): Awaitable<readonly string[]> {
    const ids = all(
      this.sealing.keys.map((key) =>
        this.#store.byUser(key.hash("user", user))
      ),
    );
    const sids = chain(
      ids,
      (lists) => all(lists.flat().map((id) => this.sessions.sidOf(id))),
    );
    return chain(sids, (found) => [
      ...new Set(found.filter(isDefined)),
    ]);
  }

  async *scan(limit: number): AsyncGenerator<readonly ScannedSession[]> {
    for await (const batch of this.#store.scan!(limit)) {
      yield batch.flatMap(({ sid: id, record }) =>
        this.sealing.open(id, record) ?? []
      );
    }
  }

  /** Closes the wrapped store, where it can be closed. */
  close(): Awaitable<void> {
    return (this.#store as { close?(): Awaitable<void> }).close?.();
  }

  /** The live session whose id has a hash. */
  protected sidOfHash(hash: string): Awaitable<string | undefined> {
    return this.sessions.firstOf((key) =>
      chain(
        this.sessions.open(this.sealing.idOfHash(hash, key)),
        (found) => isAlive(found?.record) ? found!.sid : undefined,
      )
    );
  }
}
