import { assertEquals } from "@std/assert";
import { describe } from "@std/testing/bdd";
import { itNeedsRedis } from "../support/redis/server.ts";
import { torture } from "./run.ts";

// a node is stopped, two are killed; `deno task torture` runs more, on each store
describe("three real nodes under real faults", () => {
  itNeedsRedis("lose nothing that was answered", async () => {
    assertEquals((await torture("redis", 2)).faults, []);
  });
});
