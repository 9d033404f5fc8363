import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { itNeedsPostgres } from "../support/postgres/server.ts";
import { itNeedsRedis } from "../support/redis/server.ts";
import { torture } from "./run.ts";

describe("three real nodes under real faults lose nothing that was answered", () => {
  // nodes that are stopped and killed; `deno task torture` runs more
  itNeedsRedis("on Redis", async () => {
    assertEquals((await torture("redis", 2)).faults, []);
  });

  it("on a file of SQLite", async () => {
    assertEquals((await torture("sqlite", 1)).faults, []);
  });

  itNeedsPostgres("on PostgreSQL", async () => {
    assertEquals((await torture("postgres", 3)).faults, []);
  });
});
