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
 * A begin and a move use keys of several slots. A Redis Cluster needs the cluster
 * client of its package, with which they are several calls.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import {
  type AcquireResult,
  type BeginOptions,
  type BeginResult,
  type CommitResult,
  type FormerId,
  isAlive,
  type MoveCondition,
  type MoveResult,
  type ScannedSession,
  type SessionRecord,
  type SharedStore,
  type StoredRecord,
  type Version,
} from "../api/store.ts";
import { connection } from "./redis/connection.ts";
import { LOCK } from "./redis/begin_scripts.ts";
import { Begins } from "./redis/begins.ts";
import { Grants } from "./redis/grants.ts";
import { Index } from "./redis/index.ts";
import { Moves } from "./redis/moves.ts";
import {
  checkOptions,
  type RedisStoreEvents,
  type RedisStoreOptions,
} from "./redis/options.ts";
import { Queue } from "./redis/queue.ts";
import { decode, whole } from "./redis/record.ts";
import { scanSessions } from "./redis/scan.ts";
import * as scripts from "./redis/scripts.ts";
import { Keyspace } from "./redis/keys.ts";
import { Writes } from "./redis/writes.ts";

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

export type { RedisStoreEvents, RedisStoreOptions };

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
  readonly #moves: Moves;
  readonly #begins: Begins;
  readonly #writes: Writes;
  readonly #events = new EventEmitter().setMaxListeners(0);
  #versions = 0;

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
    const grants = new Grants();
    this.#queue = new Queue(this.#keyspace, grants);
    this.#writes = new Writes(this.#keyspace, this.#index, grants);
    this.#moves = new Moves(this.#keyspace, this.#index, grants);
    this.#begins = new Begins({
      keyspace: this.#keyspace,
      index: this.#index,
      moves: this.#moves,
      writes: this.#writes,
      read: (sid) => this.read(sid),
      destroy: (sid) => this.#destroy(sid),
    });
  }

  /** See {@linkcode SharedStore.read}. */
  async read(sid: string): Promise<StoredRecord | undefined> {
    const key = this.#keyspace.key("s", sid);
    const fields = await this.#keyspace.run(scripts.READ, [key], []);
    const [version, from] = [fields[0], fields[6]];
    return from != null &&
        await this.#moves.activate(sid, String(from), String(version))
      ? decode(await this.#keyspace.run(scripts.READ, [key], []))
      : decode(fields);
  }

  /** See {@linkcode SharedStore.write}. */
  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
  ): Promise<Version | undefined> {
    return this.#writes.write(sid, record, expected, this.#version());
  }

  /** See {@linkcode SharedStore.begin}. */
  begin(
    sid: string,
    record: SessionRecord,
    options: BeginOptions = {},
  ): Promise<BeginResult> {
    return this.#begins.begin(sid, record, options, this.#version());
  }

  /** See {@linkcode SharedStore.extend}. */
  extend(sid: string, expires: number, lastUsed?: number): Promise<boolean> {
    const extend = () => this.#writes.extend(sid, expires, lastUsed);
    return this.#onceActive(sid, isFalse, extend);
  }

  /** See {@linkcode SharedStore.destroy}. */
  async destroy(sid: string, note?: string): Promise<boolean> {
    const { ended, record } = await this.#destroy(sid, note);
    if (record) this.#events.emit("removed", sid, "destroyed", record);
    return ended;
  }

  /**
   * See {@linkcode SharedStore.move}. In a Redis Cluster it takes three steps,
   * and the second decides: until then the session is under its former id,
   * from then on under the new one, whichever process reads it first, and even
   * if this process ends in between.
   */
  move(
    from: string,
    to: string,
    record: SessionRecord,
    condition: MoveCondition,
    note: string,
  ): Promise<MoveResult> {
    const version = this.#version();
    const move = { from, to, record, condition, note, version };
    return this.#onceActive(
      from,
      isMissing,
      () => this.#moves.move(move),
    );
  }

  /** See {@linkcode SharedStore.former}. */
  former(sid: string): Promise<FormerId | undefined> {
    return this.#moves.former(sid);
  }

  /** See {@linkcode SharedStore.byClient}. */
  byClient(clientId: string): Promise<string | undefined> {
    return this.#keyspace.target(this.#keyspace.named("c", clientId));
  }

  /** See {@linkcode SharedStore.tryLock}. */
  async tryLock(
    name: string,
    token: string,
    holdMs: number,
  ): Promise<boolean> {
    const key = this.#keyspace.named("l", name);
    const args = [token, whole(Math.max(holdMs, 1))];
    const taken: unknown = await this.#keyspace.run(LOCK, [key], args);
    return Number(taken) === 1;
  }

  /** See {@linkcode SharedStore.unlock}. */
  async unlock(name: string, token: string): Promise<void> {
    const key = this.#keyspace.named("l", name);
    await this.#keyspace.run(scripts.DELETE_POINTER, [key], [token]);
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

  /** See {@linkcode SharedStore.scan}. */
  scan(limit: number): AsyncIterable<readonly ScannedSession[]> {
    return scanSessions(this.#keyspace, (sid) => this.read(sid), limit);
  }

  /** See {@linkcode SharedStore.versions}. */
  versions(
    sids: readonly string[],
  ): Promise<readonly (Version | undefined)[]> {
    return this.#writes.versions(sids);
  }

  /**
   * See {@linkcode SharedStore.acquire}.
   *
   * @throws {Error} when Redis does not answer, when the channel cannot be subscribed to, or when the store is closed
   */
  acquire(
    sid: string,
    token: string,
    holdMs: number,
    waitMs: number,
  ): Promise<AcquireResult> {
    const holder = encodeURIComponent(token);
    return this.#onceActive(
      sid,
      (result) => result.status === "missing" && !result.waited,
      () => this.#queue.acquire(sid, holder, holdMs, waitMs),
    );
  }

  /** See {@linkcode SharedStore.commit}. */
  commit(
    sid: string,
    token: string,
    record: SessionRecord | undefined,
  ): Promise<CommitResult> {
    const holder = encodeURIComponent(token);
    return this.#writes.commit(sid, holder, record, this.#version());
  }

  /**
   * Adds a listener to sessions that {@linkcode RedisStore.destroy} of this
   * instance ends; what other processes end is not reported.
   *
   * @param event `"removed"` → `(sid, reason, record)`
   * @param listener is called with these
   * @returns this store
   */
  on<K extends keyof RedisStoreEvents>(
    event: K,
    listener: (...args: RedisStoreEvents[K]) => void,
  ): this {
    this.#events.on(event, listener as (...args: unknown[]) => void);
    return this;
  }

  /**
   * Removes a listener that {@linkcode RedisStore.on} added.
   *
   * @param event the event
   * @param listener the listener
   * @returns this store
   */
  off<K extends keyof RedisStoreEvents>(
    event: K,
    listener: (...args: RedisStoreEvents[K]) => void,
  ): this {
    this.#events.off(event, listener as (...args: unknown[]) => void);
    return this;
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

  #destroy(sid: string, note?: string): ReturnType<Writes["destroy"]> {
    const call = this.#version();
    return this.#onceActive(
      sid,
      ({ ended }) => !ended,
      () => this.#writes.destroy(sid, note, call),
    );
  }

  /** Repeats a call that found no session, if that was because a move in a cluster was not completed. */
  async #onceActive<T>(
    sid: string,
    isMissing: (result: T) => boolean,
    call: () => Promise<T>,
  ): Promise<T> {
    const result = await call();
    const isFinal = !this.#keyspace.connection.cluster || !isMissing(result) ||
      !isAlive(await this.read(sid));
    return isFinal ? result : await call();
  }

  /** Unique: a random name of this queue, and a counter. */
  #version(): string {
    return `${this.#queue.node}.${++this.#versions}`;
  }
}

const isFalse = (result: boolean) => !result;

const isMissing = ({ status }: { readonly status: string }) =>
  status === "missing";
