import { SessionStore } from "@koa-io/session";
import { assertInstanceOf } from "@std/assert";
import { describe, it } from "@std/testing/bdd";

describe("the package", () => {
  it("is found by its own name", () => {
    const store = new SessionStore({ autoCleanup: false });
    assertInstanceOf(store, SessionStore);
  });
});
