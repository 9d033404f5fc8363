import { SessionStore } from "@koa-io/session";
import { testStore } from "@koa-io/session/testing";
import { describe, it } from "@std/testing/bdd";

describe("the conformance kit, in memory", () => {
  void testStore(
    "SessionStore",
    () => new SessionStore({ autoCleanup: false }),
    {
      describe,
      it,
    },
  );

  void testStore(
    "SessionStore with a timer and a limit",
    () => new SessionStore({ autoCleanupMs: 50, maxEntries: 2_000 }),
    { describe, it },
  );
});
