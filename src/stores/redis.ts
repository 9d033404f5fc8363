/**
 * `@koa-io/session/redis`: sessions in Redis or Valkey, shared by any number
 * of processes.
 *
 * It needs Redis 7.0 or Valkey, or later. Whatever must be written atomically is
 * written by one script; leases use Redis's own clock, session lives the clocks
 * of the processes, which must agree with it to a few seconds. Session data
 * passes through pub/sub when a lease is granted to another process: an ACL user
 * needs the channels `<prefix>n:*` and the keys `<prefix>*`. With a
 * `maxmemory-policy` other than `noeviction`, Redis ends sessions to free memory.
 *
 * @module
 */
import {
  type AcquireResult,
  type BeginResult,
  type CommitResult,
  EXPIRED_GRACE,
  MOVED_FOR,
  type SessionRecord,
  type SharedStore,
  type StoredRecord,
  type Version,
} from "../api/store.ts";
import { connection } from "./redis/client.ts";
import { Index, indexedUntil } from "./redis/index.ts";
import { checkOptions, type RedisStoreOptions } from "./redis/options.ts";
import { Queue } from "./redis/queue.ts";
import { decode, decodeBinding, encode, whole } from "./redis/record.ts";
import * as scripts from "./redis/scripts.ts";
import { Keyspace } from "./redis/keys.ts";

// the types of the store contract, so that users of this module need no other
export type * from "../api/store_contract.ts";

export type {
  IoredisClient,
  IoredisSubscriber,
  NodeRedisClient,
  NodeRedisSubscriber,
  RedisClient,
  RedisEvents,
} from "./redis/client.ts";

export type { RedisStoreOptions };

/** For how many leases the user is recorded, which spares their commits an index entry. */
const MAX_USERS = 10_000;

/** How many keys one command may have, so that it does not block Redis for long. */
const MAX_KEYS = 500;

/**
 * A store for many processes. Its operations are atomic scripts, one round trip
 * each; a waiter for a session receives it in a message. A client's errors
 * reject the call they belong to.
 *
 * @example Keep sessions in Redis
 * ```ts
 * import { RedisStore } from "@koa-io/session/redis";
 * import { createClient } from "redis";
 *
 * export async function openStore(url: string): Promise<RedisStore> {
 *   const client = createClient({ url });
 *   client.on("error", (error) => console.error(error.message));
 *   await client.connect();
 *   return new RedisStore({ client, prefix: "shop:" });
 * }
 * ```
 *
 * @example An invalid client is refused with the name of the missing method
 * ```ts
 * import { type RedisClient, RedisStore } from "@koa-io/session/redis";
 * import { assertThrows } from "@std/assert";
 *
 * const client = {} as RedisClient;
 * assertThrows(() => new RedisStore({ client }), TypeError, "client.evalSha must be a function");
 * ```
 */
export class RedisStore implements SharedStore {
  /** Always `"shared"`. */
  readonly scope = "shared";
  /** The prefix of all keys and channels. */
  readonly prefix: string;

  readonly #keyspace: Keyspace;
  readonly #index: Index;
  readonly #queue: Queue;
  /** The user of each leased session: an existing index entry need not be written again. */
  readonly #users = new Map<string, string | undefined>();
  #writes = 0;

  /**
   * Creates a store; it sends nothing to Redis yet.
   *
   * @param options see {@linkcode RedisStoreOptions}
   * @throws {TypeError} when the client lacks a method, by its name, or an option is of the wrong type
   * @throws {RangeError} when the prefix has braces in it
   */
  constructor(options: RedisStoreOptions) {
    const { client, prefix } = checkOptions(options);
    this.prefix = prefix;
    this.#keyspace = new Keyspace(connection(client), prefix);
    this.#index = new Index(this.#keyspace);
    this.#queue = new Queue(this.#keyspace);
  }

  /** See {@linkcode SharedStore.read}. */
  async read(sid: string): Promise<StoredRecord | undefined> {
    const key = this.#keyspace.key("s", sid);
    return decode(await this.#keyspace.run(scripts.READ, [key], []));
  }

  /** See {@linkcode SharedStore.write}. */
  async write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
  ): Promise<Version | undefined> {
    const version = this.#version();
    // Sent before the record, in the same batch: a superfluous entry is harmless, a missing one is not.
    const index = expected === null
      ? this.#index.addAll(sid, record)
      : this.#index.addToUser(sid, record);
    const [[written, stale, old]] = await Promise.all([
      this.#put(
        sid,
        record,
        expected === null ? "" : String(expected),
        version,
      ),
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

  /** See {@linkcode SharedStore.begin}. */
  async begin(
    sid: string,
    record: SessionRecord,
  ): Promise<BeginResult | undefined> {
    const version = this.#version();
    const writing = this.#put(sid, record, "", version);
    // in a cluster the pointer is on another node: the session must exist before it
    if (this.#keyspace.connection.cluster) await writing;
    const [[written], before] = await Promise.all([
      writing,
      this.#index.setClient(sid, record),
      ...this.#index.addHashAndUser(sid, record),
    ]);
    return Number(written) === 0 ? undefined : { version, before };
  }

  /** See {@linkcode SharedStore.extend}. */
  async extend(sid: string, expires: number): Promise<boolean> {
    const [alive, stale, end, text] = await this.#keyspace.run(scripts.EXTEND, [
      this.#keyspace.key("s", sid),
    ], [
      String(expires),
      whole(expires + EXPIRED_GRACE),
      String(EXPIRED_GRACE),
    ]);
    if (Number(alive) === 0) return false;
    if (Number(stale) === 1) {
      const binding = decodeBinding(text);
      await this.#index.update(
        sid,
        { ...binding, expires: Number(end) },
        binding,
        true,
      );
    }
    return true;
  }

  /** See {@linkcode SharedStore.destroy}. */
  async destroy(
    sid: string,
    options?: { readonly movedTo?: string },
  ): Promise<boolean> {
    const [alive, binding] = await this.#keyspace.run(
      scripts.DESTROY,
      [...this.#leaseKeys(sid), this.#keyspace.key("m", sid)],
      [
        ...this.#keyspace.publishArgs(sid),
        options?.movedTo ?? "",
        String(MOVED_FOR),
      ],
    );
    if (Number(alive) === 0) return false;
    await this.#index.removeAll(sid, decodeBinding(binding));
    return true;
  }

  /** See {@linkcode SharedStore.movedTo}. */
  movedTo(sid: string): Promise<string | undefined> {
    return this.#keyspace.target(this.#keyspace.key("m", sid));
  }

  /** See {@linkcode SharedStore.byClient}. */
  byClient(clientId: string): Promise<string | undefined> {
    return this.#keyspace.target(this.#keyspace.named("c", clientId));
  }

  /** See {@linkcode SharedStore.byHash}. */
  byHash(hash: string): Promise<string | undefined> {
    return this.#keyspace.target(this.#keyspace.hashed("h", hash));
  }

  /** See {@linkcode SharedStore.byUser}. */
  async byUser(user: string): Promise<readonly string[]> {
    const key = this.#keyspace.named("u", user);
    return (await this.#keyspace.run(scripts.MEMBERS, [key], [])).map(String);
  }

  /** See {@linkcode SharedStore.versions}. */
  async versions(
    sids: readonly string[],
  ): Promise<readonly (Version | undefined)[]> {
    const keys = sids.map((sid) => this.#keyspace.key("s", sid));
    // in a cluster each key is in a slot of its own
    const step = this.#keyspace.connection.cluster ? 1 : MAX_KEYS;
    const answers: Promise<readonly unknown[]>[] = [];
    for (let from = 0; from < keys.length; from += step) {
      const some = keys.slice(from, from + step);
      answers.push(this.#keyspace.run(scripts.VERSIONS, some, []));
    }
    return (await Promise.all(answers)).flat().map((version) =>
      version == null ? undefined : String(version)
    );
  }

  /**
   * See {@linkcode SharedStore.acquire}.
   *
   * @throws {Error} when Redis does not answer, when the channel cannot be subscribed to, or when the store is closed
   */
  async acquire(
    sid: string,
    token: string,
    holdMs: number,
    waitMs: number,
  ): Promise<AcquireResult> {
    const holder = encodeURIComponent(token);
    const acquired = await this.#queue.acquire(sid, holder, holdMs, waitMs);
    if (acquired.status === "granted") {
      this.#users.set(holder, acquired.record.user);
      if (this.#users.size > MAX_USERS) {
        this.#users.delete(this.#users.keys().next().value!);
      }
    }
    return acquired;
  }

  /** See {@linkcode SharedStore.commit}. */
  async commit(
    sid: string,
    token: string,
    record: SessionRecord | undefined,
  ): Promise<CommitResult> {
    const holder = encodeURIComponent(token);
    const args = [...this.#keyspace.publishArgs(sid), holder];
    const index: Promise<unknown>[] = [];
    if (record) {
      args.push(this.#version(), ...encode(record));
      if (!this.#users.has(holder) || this.#users.get(holder) !== record.user) {
        index.push(...this.#index.addToUser(sid, record));
      }
    }
    this.#users.delete(holder);
    const [[status, version, stale, old]] = await Promise.all([
      this.#keyspace.run(scripts.COMMIT, this.#leaseKeys(sid), args),
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

  /**
   * Closes the connection that the store opened; the client stays open.
   * Pending `acquire` calls reject.
   */
  close(): Promise<void> {
    return this.#queue.close();
  }

  /** The same as {@linkcode RedisStore.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #put(
    sid: string,
    record: SessionRecord,
    expected: string,
    version: Version,
  ): Promise<readonly unknown[]> {
    const args = [expected, String(version), ...encode(record)];
    return this.#keyspace.run(scripts.WRITE, [this.#keyspace.key("s", sid)], [
      ...args,
      indexedUntil(record),
    ]);
  }

  /** Unique: a random name of this queue, and a counter. */
  #version(): string {
    return `${this.#queue.node}.${++this.#writes}`;
  }

  #leaseKeys(sid: string): readonly string[] {
    return [this.#keyspace.key("s", sid), this.#keyspace.key("w", sid)];
  }
}
