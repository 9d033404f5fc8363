/**
 * The names of keys and channels in Redis, and how scripts are run on them.
 *
 * @module
 */
import { hashId } from "../../base/ids.ts";
import type { Connection } from "./client.ts";
import { escapeId } from "./record.ts";
import { GET_POINTER, type Script } from "./scripts.ts";

/** The kinds of keys in the slot of a session. */
type RecordKind = "s" | "q" | "e" | "f";

/** The keys and channels of one prefix. */
export class Keyspace {
  readonly connection: Connection;
  /** The prefix of the channels. */
  readonly channels: string;
  readonly #prefix: string;

  constructor(connection: Connection, prefix: string) {
    this.connection = connection;
    this.channels = `${prefix}n:`;
    this.#prefix = prefix;
  }

  run(
    script: Script,
    keys: readonly string[],
    args: readonly string[],
  ): Promise<readonly unknown[]> {
    return this.connection.run(script, keys, args) as Promise<
      readonly unknown[]
    >;
  }

  /** The key of a session's record (`s`), queue (`q`), waiters (`e`) or note on a former id (`f`): all in one slot of a Redis Cluster. */
  key(kind: RecordKind, sid: string): string {
    return `${this.records(kind)}{${escapeId(sid)}}`;
  }

  /** What these keys begin with. */
  records(kind: RecordKind): string {
    return `${this.#prefix}${kind}:`;
  }

  /** The keys record, queue and waiters of a session, with which most scripts begin. */
  leaseKeys(sid: string): readonly string[] {
    return (["s", "q", "e"] as const).map((kind) => this.key(kind, sid));
  }

  /** The key of the index entry of a client (`c`), hash (`h`) or user (`u`), or of a lock (`l`). It contains the hash of the id, not the id. */
  named(kind: "c" | "h" | "u" | "l", id: string): string {
    return this.hashed(kind, hashId(id));
  }

  /** The same, where only the hash is known. */
  hashed(kind: "c" | "h" | "u" | "l", hash: string): string {
    return `${this.#prefix}${kind}:${hash}`;
  }

  /** The first arguments of scripts that publish to waiters: `channel cluster sid`. */
  publishArgs(sid: string): readonly string[] {
    const cluster = this.connection.cluster ? "1" : "0";
    return [this.channels, cluster, JSON.stringify(sid)];
  }

  /** The target of a pointer. */
  async target(key: string): Promise<string | undefined> {
    const sid: unknown = await this.connection.run(GET_POINTER, [key], []);
    return sid == null ? undefined : String(sid);
  }
}
