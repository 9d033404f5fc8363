import { SessionStore } from "@koa-io/session";
import { encrypted } from "@koa-io/session/encrypted";
import { testStore } from "@koa-io/session/testing";
import { describe, it } from "@std/testing/bdd";
import { randomBytes } from "node:crypto";

const key = randomBytes(32);

describe("the conformance kit, on an encrypted store", () => {
  void testStore(
    "in memory",
    () => encrypted(new SessionStore({ autoCleanup: false }), { keys: [key] }),
    { describe, it },
  );

  void testStore(
    "in memory with two keys",
    () =>
      encrypted(new SessionStore({ autoCleanup: false }), {
        keys: [key, randomBytes(32)],
      }),
    { describe, it },
  );
});
