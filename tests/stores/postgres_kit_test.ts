import type { SharedStore } from "@koa-io/session";
import type { PostgresPool } from "@koa-io/session/postgres";
import { storeRules } from "@koa-io/session/testing";
import { afterAll, beforeAll, describe } from "@std/testing/bdd";
import type { Address } from "../support/postgres/cluster.ts";
import { itNeedsPostgres, withPostgres } from "../support/postgres/server.ts";
import { type Stores, storesAt } from "../support/postgres/stores.ts";

describe("the conformance kit, on PostgreSQL", () => {
  for (const listen of [true, false]) {
    const how = listen ? "notified" : "polling";
    describe(`PostgresStore, ${how}`, () => {
      let address: Address;
      let stores: Stores;
      let pools: PostgresPool[];
      const open = (n: number) => stores.open({ listen, pool: pools[n]! });
      withPostgres((found) => address = found);
      beforeAll(() => {
        if (!address) return;
        stores = storesAt(address);
        pools = [stores.pool(), stores.pool()];
      });
      afterAll(() => stores?.close());

      const shared = { scope: "shared" } as SharedStore;
      for (const rule of storeRules(shared, { peer: true })) {
        itNeedsPostgres(rule.name, async () => {
          const store = await open(0);
          try {
            await rule.run(store, { peer: () => open(1) });
          } finally {
            await store.close();
          }
        });
      }
    });
  }
});
