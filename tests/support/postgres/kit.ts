/** The conformance kit on PostgreSQL. */
import type { SharedStore } from "@koa-io/session";
import type { PostgresPool } from "@koa-io/session/postgres";
import { afterAll, beforeAll, describe } from "@std/testing/bdd";
import { sharedKit } from "../stores/shared_kit.ts";
import type { Address } from "./cluster.ts";
import { itNeedsPostgres, withPostgres } from "./server.ts";
import { type Stores, storesAt } from "./stores.ts";

/** Declares the tests of a store on one of two pools. */
export function postgresKit(
  name: string,
  open: (stores: Stores, pool: PostgresPool) => Promise<SharedStore>,
): void {
  describe(name, () => {
    let address: Address;
    let stores: Stores;
    let pools: PostgresPool[];
    withPostgres((found) => address = found);
    beforeAll(() => {
      if (!address) return;
      stores = storesAt(address);
      pools = [stores.pool(), stores.pool()];
    });
    afterAll(() => stores?.close());
    sharedKit(itNeedsPostgres, (n) => open(stores, pools[n]!));
  });
}
