/**
 * Writes of single sessions, and the index entries that follow them.
 *
 * @module
 */
import {
  type CommitResult,
  EXPIRED_GRACE,
  MOVED_FOR,
  type SessionRecord,
  type StoredRecord,
  type Version,
} from "../../api/store.ts";
import type { Grants } from "./grants.ts";
import { type Index, indexedUntil } from "./index.ts";
import type { Keyspace } from "./keys.ts";
import { decode, decodeBinding, encode, noteOf, whole } from "./record.ts";
import { COMMIT, DESTROY, EXTEND, VERSIONS, WRITE } from "./scripts.ts";

/** How many keys one command may have, so that it does not block Redis for long. */
const MAX_KEYS = 500;

/** How long the name of a call that destroyed a session is kept, in ms: a client may send it again. */
const CALL_TTL = 60_000;

/** Writes sessions. */
export class Writes {
  readonly #keyspace: Keyspace;
  readonly #index: Index;
  readonly #grants: Grants;

  constructor(keyspace: Keyspace, index: Index, grants: Grants) {
    this.#keyspace = keyspace;
    this.#index = index;
    this.#grants = grants;
  }

  async write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
    version: string,
  ): Promise<string | undefined> {
    // Sent before the record, in the same batch: a superfluous entry is harmless, a missing one is not.
    const index = Promise.all(
      expected === null
        ? this.#index.addAll(sid, record)
        : this.#index.addToUser(sid, record),
    );
    index.catch(() => {});
    const [written, stale, old] = await this.put(
      sid,
      record,
      expected,
      version,
    );
    const isWritten = Number(written) !== 0;
    try {
      await index;
    } catch (error) {
      // a session that cannot be indexed, as when Redis is out of memory, does not begin
      if (isWritten && expected === null) {
        await this.destroy(sid, undefined, version);
      }
      throw error;
    }
    if (!isWritten) return undefined;
    if (expected !== null) {
      await this.#index.update(
        sid,
        record,
        decodeBinding(old),
        Number(stale) === 1,
      );
    }
    return version;
  }

  /** Writes the record alone. → written, stale, old `m` */
  put(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
    version: string,
  ): Promise<readonly unknown[]> {
    return this.#keyspace.run(WRITE, [this.#keyspace.key("s", sid)], [
      expected === null ? "" : String(expected),
      version,
      ...encode(record),
      indexedUntil(record),
    ]);
  }

  async extend(
    sid: string,
    expires: number,
    lastUsed: number | undefined,
  ): Promise<boolean> {
    const key = this.#keyspace.key("s", sid);
    const [alive, stale, end, text] = await this.#keyspace.run(EXTEND, [key], [
      String(expires),
      whole(expires + EXPIRED_GRACE),
      String(EXPIRED_GRACE),
      lastUsed === undefined ? "" : String(lastUsed),
    ]);
    if (Number(alive) === 0) return false;
    if (Number(stale) === 1) {
      const binding = decodeBinding(text);
      const entry = { ...binding, expires: Number(end) };
      await this.#index.update(sid, entry, binding, true);
    }
    return true;
  }

  /**
   * @param call a name of this call, by which its repetition is recognised
   * @returns whether there was a session alive, and the session as it was; a
   * repetition does not return it
   */
  async destroy(
    sid: string,
    note: string | undefined,
    call: string,
  ): Promise<{ readonly ended: boolean; readonly record?: StoredRecord }> {
    const [alive, ...fields] = await this.#keyspace.run(
      DESTROY,
      [...this.#keyspace.leaseKeys(sid), this.#keyspace.key("f", sid)],
      [
        ...this.#keyspace.publishArgs(sid),
        call,
        note === undefined ? "" : noteOf(undefined, note),
        String(MOVED_FOR),
        String(CALL_TTL),
      ],
    );
    if (Number(alive) === 0) return { ended: false };
    const record = decode(fields);
    await this.#index.removeAll(sid, record ?? {});
    return record ? { ended: true, record } : { ended: true };
  }

  async versions(
    sids: readonly string[],
  ): Promise<readonly (string | undefined)[]> {
    const keys = sids.map((sid) => this.#keyspace.key("s", sid));
    // in a cluster each key is in a slot of its own
    const step = this.#keyspace.connection.cluster ? 1 : MAX_KEYS;
    const answers: Promise<readonly unknown[]>[] = [];
    for (let from = 0; from < keys.length; from += step) {
      const some = keys.slice(from, from + step);
      answers.push(this.#keyspace.run(VERSIONS, some, []));
    }
    return (await Promise.all(answers)).flat().map((version) =>
      version == null ? undefined : String(version)
    );
  }

  async commit(
    sid: string,
    holder: string,
    record: SessionRecord | undefined,
    newVersion: string,
  ): Promise<CommitResult> {
    const { name, version: granted, user, indexed } = this.#grants.take(holder);
    const args = [...this.#keyspace.publishArgs(sid), name, granted];
    const index: Promise<unknown>[] = [];
    if (record) {
      args.push(newVersion, ...encode(record));
      if (!indexed || user !== record.user) {
        index.push(...this.#index.addToUser(sid, record));
      }
    }
    const [[status, version, stale, old]] = await Promise.all([
      this.#keyspace.run(COMMIT, this.#keyspace.leaseKeys(sid), args),
      ...index,
    ]);
    if (String(status) === "m") return { status: "missing" };
    if (String(status) === "l") return { status: "lost" };
    if (record) {
      await this.#index.update(
        sid,
        record,
        decodeBinding(old),
        Number(stale) === 1,
      );
    }
    return { status: "done", version: String(version) };
  }
}
