/**
 * The options of {@linkcode RedisStore}, checked once.
 *
 * @module
 */
import { refuse, requireObject } from "../../base/arguments.ts";
import type { RemovalReason, SessionRecord } from "../../api/store.ts";
import type { RedisClient } from "./client.ts";

/** The action in messages that refuse an option. */
export const MAKING = "make a RedisStore";

/** The options of {@linkcode RedisStore}. */
export interface RedisStoreOptions {
  /**
   * A connected client or cluster of `redis` (node-redis) or `ioredis`. The
   * caller closes it and listens to its errors. The store opens one more
   * connection with `client.duplicate()` when a session is first locked.
   */
  readonly client: RedisClient;
  /**
   * The prefix of all keys and channels; without braces.
   *
   * @default {"koa-io:"}
   */
  readonly prefix?: string | null | undefined;
}

/** The listeners of `RedisStore`; they receive removals through this instance only. */
export interface RedisStoreEvents {
  /** A session was removed, and why. */
  removed: [sid: string, reason: RemovalReason, record: SessionRecord];
}

/** The options with their defaults. */
export interface CheckedOptions {
  readonly client: RedisClient;
  readonly prefix: string;
}

/** Checks all options but the client, see `connection`, and fills in the defaults. */
export function checkOptions(options: RedisStoreOptions): CheckedOptions {
  requireObject(MAKING, "options", options);
  const prefix: unknown = options.prefix ?? "koa-io:";
  if (typeof prefix !== "string") refuse(MAKING, "prefix", "a string", prefix);
  if (/[{}]/.test(prefix)) {
    refuse(MAKING, "prefix", "a string without braces", prefix, RangeError);
  }
  return { client: options.client, prefix };
}
