/**
 * `@koa-io/session/redis`: sessions in Redis or Valkey, shared by any number
 * of processes.
 *
 * Redis 7.0, or Valkey, or later. All that is written at once is written by
 * one script; leases are timed by Redis's own clock, lives by the clocks of
 * the processes, which must agree with it to a few seconds. Session data
 * passes through pub/sub when a session is handed from one process to another:
 * an ACL user needs the channels `<prefix>n:*` and the keys `<prefix>*`. A
 * `maxmemory-policy` other than `noeviction` ends sessions to make room.
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
import { Index, suffice } from "./redis/index.ts";
import { checkOptions, type RedisStoreOptions } from "./redis/options.ts";
import { Queue } from "./redis/queue.ts";
import { decode, decodeBinding, encode, whole } from "./redis/record.ts";
import * as scripts from "./redis/scripts.ts";
import { Space } from "./redis/keys.ts";

// the contract that this store keeps: its reader needs nothing else
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

/** How many holds are remembered to spare their commits an index entry. */
const MAX_HOLDS = 10_000;

/** How many keys one command may name, so that it stalls nobody. */
const MAX_KEYS = 500;

/**
 * A store for many processes. Its operations are scripts that run whole or not
 * at all, one round trip each; who waits for a session is told by a message
 * that carries it. A client's errors reject the call they belong to.
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
 * @example What is no client is refused by the name of what it lacks
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
  /** What the names of all keys and channels begin with. */
  readonly prefix: string;

  readonly #space: Space;
  readonly #index: Index;
  readonly #queue: Queue;
  /** Whose session each holder got: an index entry that stands need not be written again. */
  readonly #holds = new Map<string, string | undefined>();
  #writes = 0;

  /**
   * Asks nothing of Redis yet.
   *
   * @param options see {@linkcode RedisStoreOptions}
   * @throws {TypeError} when the client lacks a method, by its name, or an option is of the wrong type
   * @throws {RangeError} when the prefix has braces in it
   */
  constructor(options: RedisStoreOptions) {
    const { client, prefix } = checkOptions(options);
    this.prefix = prefix;
    this.#space = new Space(connection(client), prefix);
    this.#index = new Index(this.#space);
    this.#queue = new Queue(this.#space);
  }

  /** See {@linkcode SharedStore.read}. */
  async read(sid: string): Promise<StoredRecord | undefined> {
    const key = this.#space.key("s", sid);
    return decode(await this.#space.run(scripts.READ, [key], []));
  }

  /** See {@linkcode SharedStore.write}. */
  async write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
  ): Promise<Version | undefined> {
    const version = this.#version();
    // Ahead of the record, in the same breath: a stray entry is harmless, a missing one is not.
    const index = expected === null
      ? this.#index.begin(sid, record)
      : this.#index.enrol(sid, record);
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
      await this.#index.follow(
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
    // in a cluster the pointer stands elsewhere, and who meets it is to find the session
    if (this.#space.connection.cluster) await writing;
    const [[written], before] = await Promise.all([
      writing,
      this.#index.claim(sid, record),
      ...this.#index.name(sid, record),
    ]);
    return Number(written) === 0 ? undefined : { version, before };
  }

  /** See {@linkcode SharedStore.extend}. */
  async extend(sid: string, expires: number): Promise<boolean> {
    const [alive, stale, end, text] = await this.#space.run(scripts.EXTEND, [
      this.#space.key("s", sid),
    ], [
      String(expires),
      whole(expires + EXPIRED_GRACE),
      String(EXPIRED_GRACE),
    ]);
    if (Number(alive) === 0) return false;
    if (Number(stale) === 1) {
      const binding = decodeBinding(text);
      await this.#index.follow(
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
    const [alive, binding] = await this.#space.run(
      scripts.DESTROY,
      [...this.#line(sid), this.#space.key("m", sid)],
      [...this.#space.teller(sid), options?.movedTo ?? "", String(MOVED_FOR)],
    );
    if (Number(alive) === 0) return false;
    await this.#index.end(sid, decodeBinding(binding));
    return true;
  }

  /** See {@linkcode SharedStore.movedTo}. */
  movedTo(sid: string): Promise<string | undefined> {
    return this.#space.follow(this.#space.key("m", sid));
  }

  /** See {@linkcode SharedStore.byClient}. */
  byClient(clientId: string): Promise<string | undefined> {
    return this.#space.follow(this.#space.named("c", clientId));
  }

  /** See {@linkcode SharedStore.byHash}. */
  byHash(hash: string): Promise<string | undefined> {
    return this.#space.follow(this.#space.hashed("h", hash));
  }

  /** See {@linkcode SharedStore.byUser}. */
  async byUser(user: string): Promise<readonly string[]> {
    const key = this.#space.named("u", user);
    return (await this.#space.run(scripts.ENROLLED, [key], [])).map(String);
  }

  /** See {@linkcode SharedStore.versions}. */
  async versions(
    sids: readonly string[],
  ): Promise<readonly (Version | undefined)[]> {
    const keys = sids.map((sid) => this.#space.key("s", sid));
    // in a cluster each key is in a place of its own
    const step = this.#space.connection.cluster ? 1 : MAX_KEYS;
    const answers: Promise<readonly unknown[]>[] = [];
    for (let from = 0; from < keys.length; from += step) {
      const some = keys.slice(from, from + step);
      answers.push(this.#space.run(scripts.VERSIONS, some, []));
    }
    return (await Promise.all(answers)).flat().map((version) =>
      version == null ? undefined : String(version)
    );
  }

  /**
   * See {@linkcode SharedStore.acquire}.
   *
   * @throws {Error} when Redis does not answer, when its channel cannot be listened to, or when the store is closed
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
      this.#holds.set(holder, acquired.record.user);
      if (this.#holds.size > MAX_HOLDS) {
        this.#holds.delete(this.#holds.keys().next().value!);
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
    const args = [...this.#space.teller(sid), holder];
    const index: Promise<unknown>[] = [];
    if (record) {
      args.push(this.#version(), ...encode(record));
      if (!this.#holds.has(holder) || this.#holds.get(holder) !== record.user) {
        index.push(...this.#index.enrol(sid, record));
      }
    }
    this.#holds.delete(holder);
    const [[status, version, stale, old]] = await Promise.all([
      this.#space.run(scripts.COMMIT, this.#line(sid), args),
      ...index,
    ]);
    if (String(status) === "m") return { status: "missing" };
    if (String(status) === "l") return { status: "lost" };
    if (record) {
      await this.#index.follow(
        sid,
        record,
        decodeBinding(old),
        Number(stale) === 1,
      );
    }
    return { status: "done", version: String(version) };
  }

  /**
   * Closes the connection that the store opened; the client stays open. Who
   * waits for a session is refused.
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
    return this.#space.run(scripts.WRITE, [this.#space.key("s", sid)], [
      ...args,
      suffice(record),
    ]);
  }

  /** Never comes back: the queue's name is random, and this counts. */
  #version(): string {
    return `${this.#queue.node}.${++this.#writes}`;
  }

  #line(sid: string): readonly string[] {
    return [this.#space.key("s", sid), this.#space.key("w", sid)];
  }
}
