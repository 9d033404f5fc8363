import type { SharedStore } from "@koa-io/session";
import {
  type RedisClient,
  RedisStore,
  type RedisStoreOptions,
} from "@koa-io/session/redis";
import { assert } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Cluster, Redis } from "ioredis";
import type { createClient, createCluster } from "redis";

/** Compiles only where `Part` can be used as `Whole`. */
type Fits<Whole, Part extends Whole> = Part;

export type Clients = [
  Fits<RedisClient, ReturnType<typeof createClient>>,
  Fits<RedisClient, ReturnType<typeof createCluster>>,
  Fits<RedisClient, Redis>,
  Fits<RedisClient, Cluster>,
];
export type Contract = Fits<SharedStore, RedisStore>;
export type Options = [
  Fits<RedisStoreOptions, { client: Redis }>,
  Fits<RedisStoreOptions, { client: Redis; prefix: undefined }>,
  // @ts-expect-error a client is needed
  Fits<RedisStoreOptions, { prefix: string }>,
  // @ts-expect-error not any object is a client
  Fits<RedisStoreOptions, { client: { get(): string } }>,
];

describe("RedisStore's types", () => {
  it("accept the clients of both packages, as this file compiles", () => {
    assert(RedisStore);
  });
});
