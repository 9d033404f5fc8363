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
  type Version,
} from "../../api/store.ts";
import { type Index, indexedUntil } from "./index.ts";
import type { Keyspace } from "./keys.ts";
import { decodeBinding, encode, noteOf, whole } from "./record.ts";
import { COMMIT, DESTROY, EXTEND, WRITE } from "./scripts.ts";

/** For how many leases the user is recorded, which spares their commits an index entry. */
const MAX_USERS = 10_000;

/** Writes sessions. */
export class Writes {
  readonly #keyspace: Keyspace;
  readonly #index: Index;
  /** The user of each leased session: an existing index entry need not be written again. */
  readonly #users = new Map<string, string | undefined>();

  constructor(keyspace: Keyspace, index: Index) {
    this.#keyspace = keyspace;
    this.#index = index;
  }

  async write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
    version: string,
  ): Promise<string | undefined> {
    // Sent before the record, in the same batch: a superfluous entry is harmless, a missing one is not.
    const index = expected === null
      ? this.#index.addAll(sid, record)
      : this.#index.addToUser(sid, record);
    const [[written, stale, old]] = await Promise.all([
      this.put(sid, record, expected, version),
      ...index,
    ]);
    if (Number(written) === 0) return undefined;
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

  async destroy(sid: string, note: string | undefined): Promise<boolean> {
    const [alive, binding] = await this.#keyspace.run(
      DESTROY,
      [...this.#leaseKeys(sid), this.#keyspace.key("f", sid)],
      [
        ...this.#keyspace.publishArgs(sid),
        note === undefined ? "" : `\n${noteOf(undefined, note)}`,
        String(MOVED_FOR),
      ],
    );
    if (Number(alive) === 0) return false;
    await this.#index.removeAll(sid, decodeBinding(binding));
    return true;
  }

  /** Records the user of a leased session. */
  granted(holder: string, { user }: SessionRecord): void {
    this.#users.set(holder, user);
    if (this.#users.size > MAX_USERS) {
      this.#users.delete(this.#users.keys().next().value!);
    }
  }

  async commit(
    sid: string,
    holder: string,
    record: SessionRecord | undefined,
    newVersion: string,
  ): Promise<CommitResult> {
    const args = [...this.#keyspace.publishArgs(sid), holder];
    const index: Promise<unknown>[] = [];
    if (record) {
      args.push(newVersion, ...encode(record));
      if (!this.#users.has(holder) || this.#users.get(holder) !== record.user) {
        index.push(...this.#index.addToUser(sid, record));
      }
    }
    this.#users.delete(holder);
    const [[status, version, stale, old]] = await Promise.all([
      this.#keyspace.run(COMMIT, this.#leaseKeys(sid), args),
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

  #leaseKeys(sid: string): readonly string[] {
    return [this.#keyspace.key("s", sid), this.#keyspace.key("w", sid)];
  }
}
