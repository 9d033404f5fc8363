import { describe } from "@std/testing/bdd";
import { postgresKit } from "../support/postgres/kit.ts";

describe("the conformance kit, on PostgreSQL", () => {
  for (const listen of [true, false]) {
    postgresKit(
      `PostgresStore, ${listen ? "notified" : "polling"}`,
      (stores, pool) => stores.open({ listen, pool }),
    );
  }
});
