import type { SharedStore } from "@koa-io/session";
import {
  type PostgresPool,
  PostgresStore,
  type PostgresStoreOptions,
} from "@koa-io/session/postgres";
import { assert } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
// @ts-types="@types/pg"
import type { Client, Pool, PoolClient } from "pg";

/** Compiles only where `Part` can be used as `Whole`. */
type Fits<Whole, Part extends Whole> = Part;

export type Pools = [
  Fits<PostgresPool, Pool>,
  // @ts-expect-error a client is no pool
  Fits<PostgresPool, Client>,
  // @ts-expect-error nor is one of a pool
  Fits<PostgresPool, PoolClient>,
];
export type Contract = Fits<SharedStore, PostgresStore>;
export type Options = [
  Fits<PostgresStoreOptions, { pool: Pool }>,
  Fits<PostgresStoreOptions, { pool: Pool; schema: undefined; prune: false }>,
  // @ts-expect-error a pool is needed
  Fits<PostgresStoreOptions, { table: string }>,
  // @ts-expect-error an interval or false
  Fits<PostgresStoreOptions, { pool: Pool; prune: true }>,
];

describe("PostgresStore's types", () => {
  it("accept the pool of pg, as this file compiles", () => {
    assert(PostgresStore);
  });
});
