import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { resolveOptions } from "../../src/options/resolve.ts";

describe("resolveOptions", () => {
  const user = () => "ada";

  it("completes the options about users", () => {
    const of = (given: Record<string, unknown>) => {
      const { onUserChange, maxSessions } = resolveOptions(given);
      return [onUserChange, maxSessions];
    };
    assertEquals(of({}), [undefined, undefined]);
    assertEquals(of({ user }), ["reconnect", undefined]);
    assertEquals(of({ user, onUserChange: null, maxSessions: null }), [
      "reconnect",
      undefined,
    ]);
    assertEquals(of({ user, onUserChange: "keep", maxSessions: 2 }), [
      "keep",
      { max: 2, exceed: "oldest" },
    ]);
    for (const exceed of ["oldest", "refuse"] as const) {
      const maxSessions = { max: 1, exceed };
      assertEquals(of({ user, maxSessions })[1], maxSessions);
    }
  });
});
