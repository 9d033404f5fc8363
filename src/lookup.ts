/**
 * Finding sessions: by id, by client, by user, by the id they had before; and
 * what may be changed beside their data.
 *
 * @module
 */
import { type Door, isAlive, type Records } from "./door.ts";
import { SessionTimeoutError } from "./errors.ts";
import type { Awaitable, SessionRecord, StoredRecord } from "./store.ts";

/** A session that was found. */
export interface Found {
  readonly sid: string;
  readonly record: StoredRecord;
}

/** See the module's text. */
export class Lookup {
  readonly #door: Door;
  readonly #missed: (sid: string) => void;
  readonly #takesTurns: boolean;

  /** @param missed is told of an id that the store shows nothing alive for */
  constructor(door: Door, records: Records, missed: (sid: string) => void) {
    this.#door = door;
    this.#takesTurns = records.takesTurns === true;
    this.#missed = missed;
  }

  /** Reads a record; one that has expired a moment ago is still shown. */
  load(sid: string, ctx?: unknown): Awaitable<StoredRecord | undefined> {
    const loading = this.#door.ask("read", (records) => records.read(sid, ctx));
    if (loading instanceof Promise) {
      return loading.then((record) => this.#seen(sid, record));
    }
    return this.#seen(sid, loading);
  }

  /** Reads a record and draws no conclusions. */
  peek(sid: string): Awaitable<StoredRecord | undefined> {
    return this.#door.ask("read", (records) => records.read(sid));
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
    return this.#door.ask("read", (records) => records.movedTo(sid));
  }

  /** The live session that is bound to a client. */
  async ofClient(
    clientId: string,
    ctx?: unknown,
  ): Promise<Found | undefined> {
    const sid = await this.#door.ask(
      "read",
      (records) => records.byClient(clientId),
    );
    if (sid === undefined) return undefined;
    const record = await this.load(sid, ctx);
    // the index is a hint, the record decides
    return isAlive(record) && record.clientId === clientId
      ? { sid, record }
      : undefined;
  }

  /** The live sessions that belong to a user. */
  async ofUser(
    user: string,
  ): Promise<readonly Found[]> {
    const sids = await this.#door.ask(
      "read",
      (records) => records.byUser(user),
    );
    const records = await Promise.all(sids.map((sid) => this.load(sid)));
    return sids.flatMap((sid, i) => {
      const record = records[i];
      return isAlive(record) && record.user === user ? [{ sid, record }] : [];
    });
  }

  /**
   * Changes what is kept beside the data: whom the session is bound to.
   *
   * @returns the record as it is now, or `record` itself when others held the
   * session for too long: the next one who comes by will do it
   */
  async amend(
    sid: string,
    record: StoredRecord,
    change: Partial<Pick<SessionRecord, "clientId" | "settled">>,
    ctx: unknown,
  ): Promise<StoredRecord> {
    if (!this.#takesTurns) {
      const next = { ...record, ...change };
      const version = await this.#door.ask(
        "write",
        (records) => records.write(sid, next, record.version, ctx, false),
      );
      if (version !== undefined) return { ...next, version };
    }
    try {
      const opened = await this.#door.open(sid, ctx);
      if ("missing" in opened) return record;
      const next = { ...opened.record, ...change };
      const closed = await opened.close(next);
      if (closed.status === "done") return { ...next, version: closed.version };
      opened.release();
    } catch (error) {
      if (!(error instanceof SessionTimeoutError)) throw error;
    }
    return record;
  }

  /** Prolongs a session's life, if nobody is at work on it: they do so themselves. */
  async touch(sid: string, maxAge: number, ctx?: unknown): Promise<boolean> {
    const extend = () =>
      this.#door.ask(
        "touch",
        (records) => records.extend(sid, Date.now() + maxAge, ctx),
      );
    if (!this.#takesTurns) return await extend();
    if (!this.#door.isFree(sid)) return true;
    return await this.#door.exclusively(sid, ctx, extend) ?? false;
  }
}
