/**
 * Finding sessions: by id, by client, by user, by the id they had before; and
 * what may be changed beside their data.
 *
 * @module
 */
import type { SessionGate } from "./session_gate.ts";
import { SessionTimeoutError } from "../api/errors.ts";
import type { SchemaGuard } from "./schema_guard.ts";
import { LOAD, sourceOf } from "../base/tracing.ts";
import {
  type Awaitable,
  isAlive,
  type SessionRecord,
  type StoredRecord,
} from "../api/store.ts";
import type { RecordStore } from "../stores/open_store.ts";

/** A session that was found. */
export interface Found {
  readonly sid: string;
  readonly record: StoredRecord;
}

/** See the module's text. */
export class SessionLookup {
  readonly #door: SessionGate;
  readonly #missed: (sid: string) => void;
  readonly #takesTurns: boolean;
  readonly #guard: SchemaGuard | undefined;

  /**
   * @param missed is told of an id that the store shows nothing alive for
   * @param guard holds what is loaded against the option `schema`
   */
  constructor(
    door: SessionGate,
    records: RecordStore,
    missed: (sid: string) => void,
    guard: SchemaGuard | undefined,
  ) {
    this.#door = door;
    this.#guard = guard;
    this.#takesTurns = records.needsExclusiveWrites === true;
    this.#missed = missed;
  }

  /** Reads a record, for its data; one that has expired a moment ago is still shown. */
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
    const { tombstones: graves } = this.#door;
    const moment = graves.clock;
    const found = this.find(sid, ctx);
    if (!this.#guard) return found;
    const checking = found instanceof Promise
      ? found.then((record) => this.validated(sid, record))
      : this.validated(sid, found);
    if (!(checking instanceof Promise)) return checking;
    // a schema may take its time as well
    return checking.then((record) =>
      isAlive(record) && graves.hides(sid, moment) ? undefined : record
    );
  }

  /** A record as the schema makes it; `undefined` for one that was ended for what it holds. */
  validated<R extends StoredRecord | undefined>(
    sid: string,
    record: R,
  ): Awaitable<R | undefined> {
    return this.#guard && isAlive(record)
      ? this.#guard.loaded(sid, record) as Awaitable<R | undefined>
      : record;
  }

  /** Reads a record, for what is beside its data: the schema is not asked. */
  find(sid: string, ctx?: unknown): Awaitable<StoredRecord | undefined> {
    const loading = this.#door.read(sid, ctx);
    if (loading instanceof Promise) {
      return loading.then((record) => this.#seen(sid, record));
    }
    return this.#seen(sid, loading);
  }

  /** Reads a record and draws no conclusions. */
  readSilently(sid: string): Awaitable<StoredRecord | undefined> {
    return this.#door.read(sid, undefined);
  }

  #seen(
    sid: string,
    record: StoredRecord | undefined,
  ): StoredRecord | undefined {
    if (!isAlive(record)) this.#missed(sid);
    return record;
  }

  /** Where a session went that was regenerated a moment ago. */
  movedTo(sid: string): Awaitable<string | undefined> {
    return this.#door.call("read", (records) => records.movedTo(sid));
  }

  /**
   * The live session that is bound to a client.
   *
   * @param forData whether its data is wanted, so that the schema is asked
   */
  async ofClient(
    clientId: string,
    ctx?: unknown,
    forData = false,
  ): Promise<Found | undefined> {
    const sid = await this.#door.call(
      "read",
      (records) => records.byClient(clientId),
    );
    if (sid === undefined) return undefined;
    const record = await this.boundTo(sid, clientId, ctx, forData);
    return record && { sid, record };
  }

  /** The record of a session, if it lives and is bound to this client: an index is a hint, the record decides. */
  async boundTo(
    sid: string,
    clientId: string,
    ctx?: unknown,
    forData = false,
  ): Promise<StoredRecord | undefined> {
    const record = await (forData ? this.load(sid, ctx) : this.find(sid, ctx));
    return isAlive(record) && record.clientId === clientId ? record : undefined;
  }

  /** The live sessions that belong to a user. See {@linkcode SessionLookup.ofClient}. */
  async ofUser(
    user: string,
    forData = false,
  ): Promise<readonly Found[]> {
    const sids = await this.#door.call(
      "read",
      (records) => records.byUser(user),
    );
    const records = await Promise.all(
      sids.map((sid) => forData ? this.load(sid) : this.find(sid)),
    );
    return sids.flatMap((sid, i) => {
      const record = records[i];
      return isAlive(record) && record.user === user ? [{ sid, record }] : [];
    });
  }

  /**
   * Changes what is kept beside the data: whom the session is bound to.
   *
   * @returns the record as it is now, `record` itself when others held the
   * session for too long: the next one who comes by will do it; `undefined`
   * when the session is gone
   */
  async updateBinding(
    sid: string,
    record: StoredRecord,
    change: Partial<Pick<SessionRecord, "clientId" | "settled">>,
    ctx: unknown,
  ): Promise<StoredRecord | undefined> {
    const { tombstones: graves } = this.#door;
    const moment = graves.clock;
    const amended = (record: StoredRecord) =>
      graves.hides(sid, moment) ? undefined : record;
    if (!this.#takesTurns) {
      const next = { ...record, ...change };
      const version = await this.#door.call(
        "write",
        (records) => records.write(sid, next, record.version, ctx, false),
      );
      if (version !== undefined) return amended({ ...next, version });
    }
    try {
      const opened = await this.#door.open(sid, ctx);
      if ("missing" in opened) return undefined;
      const { version } = opened.record;
      const next = {
        ...opened.record,
        // what was loaded went past the schema already
        ...version === record.version ? { data: record.data } : {},
        ...change,
      };
      const closed = await opened.close(next);
      if (closed.status === "done") {
        return amended({ ...next, version: closed.version });
      }
      opened.release();
      if (closed.status === "ended") return undefined;
    } catch (error) {
      if (!(error instanceof SessionTimeoutError)) throw error;
    }
    return record;
  }

  /** Prolongs a session's life, if nobody is at work on it: they do so themselves. */
  async touch(sid: string, maxAge: number, ctx?: unknown): Promise<boolean> {
    const extend = (records: RecordStore) =>
      records.extend(sid, Date.now() + maxAge, ctx);
    if (!this.#takesTurns) return await this.#door.call("touch", extend);
    if (!this.#door.isFree(sid)) return true;
    return await this.#door.runExclusive(sid, ctx, "touch", extend) ?? false;
  }
}
