/**
 * The names under which things stand in Redis, and the way to them.
 *
 * @module
 */
import { hashId } from "../../base/ids.ts";
import type { Connection } from "./client.ts";
import { escapeId } from "./record.ts";
import { FOLLOW, type Script } from "./scripts.ts";

/** All that begins with one prefix. */
export class Space {
  readonly connection: Connection;
  /** What the names of the channels begin with. */
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

  /** Record, waiting list, new id: the keys of a session are in one slot of a Redis Cluster. */
  key(kind: "s" | "w" | "m", sid: string): string {
    return `${this.#prefix}${kind}:{${escapeId(sid)}}`;
  }

  /** Client, user, hash: in the name of an index nobody sees whose it is. */
  named(kind: "c" | "h" | "u", id: string): string {
    return this.hashed(kind, hashId(id));
  }

  /** The same where only the hash is known. */
  hashed(kind: "c" | "h" | "u", hash: string): string {
    return `${this.#prefix}${kind}:${hash}`;
  }

  /** What scripts have to know that tell those who wait. */
  teller(sid: string): readonly string[] {
    const blind = this.connection.cluster ? "1" : "0";
    return [this.channels, blind, JSON.stringify(sid)];
  }

  /** Where a pointer points to. */
  async follow(key: string): Promise<string | undefined> {
    const sid: unknown = await this.connection.run(FOLLOW, [key], []);
    return sid == null ? undefined : String(sid);
  }
}
