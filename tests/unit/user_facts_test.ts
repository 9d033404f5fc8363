import { assertEquals, assertFalse, assertNotEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { handleOf, hashId } from "../../src/base/ids.ts";
import { diagnose, type SetupReport } from "../../src/bridge/doctor.ts";
import { UserFacts } from "../../src/lifecycle/user_facts.ts";
import { resolveOptions } from "../../src/options/resolve.ts";

const PASSPORT = JSON.stringify({ passport: { user: 7 } });

/** The codes that the doctor finds with these options and facts. */
function diagnosed(
  given: Record<string, unknown>,
  users: SetupReport["users"],
): string[] {
  const options = resolveOptions({
    key: "__Host-sid",
    secure: true,
    sameSite: "lax",
    absoluteMaxAge: 86_400_000,
    ...given,
  });
  return diagnose({
    options,
    randomKeys: false,
    scope: "process",
    manyNodes: false,
    recovery: false,
    attached: true,
    ran: true,
    missed: false,
    secondKoaSession: false,
    corsCredentials: false,
    requests: { begun: 1, done: 1 },
    keys: undefined,
    users,
  }).map(({ code }) => code);
}

describe("UserFacts", () => {
  it("finds passport's user where the option user is not set", () => {
    for (const hasUser of [false, true]) {
      const facts = new UserFacts(hasUser);
      facts.sessionSeen('{"user":"ada"}');
      facts.sessionSeen('{"passport":{}}');
      facts.sessionSeen('{"note":"\\"passport\\":{"}');
      facts.sessionSeen('{"x":{"passport":{"user":7}}}');
      assertFalse(facts.passport);
      facts.sessionSeen(PASSPORT);
      assertEquals(facts.passport, !hasUser);
    }
  });

  it("examines samples of later sessions", () => {
    const facts = new UserFacts(false);
    for (let i = 0; i < 1_000; i++) facts.sessionSeen("{}");
    let more = 0;
    while (!facts.passport && more++ < 100) facts.sessionSeen(PASSPORT);
    assertEquals(facts.passport, true);
  });

  it("finds a user that changes three times within a minute for one key", () => {
    const facts = new UserFacts(true);
    for (const key of ["a", "b", "a", "b"]) facts.userChanged(key);
    assertFalse(facts.restless);
    facts.userChanged("a");
    assertEquals(facts.restless, true);
  });

  it("forgets changes after a minute", () => {
    const now = Date.now;
    try {
      const facts = new UserFacts(true);
      facts.userChanged("a");
      facts.userChanged("a");
      Date.now = () => now() + 61_000;
      facts.userChanged("a");
      facts.userChanged("a");
      assertFalse(facts.restless);
      facts.userChanged("a");
      assertEquals(facts.restless, true);
    } finally {
      Date.now = now;
    }
  });
});

describe("diagnose", () => {
  const user = () => "ada";
  const quiet = { onSessionEnd: "disconnect" };

  it("says what it means to be without user", () => {
    const facts = new UserFacts(false);
    assertEquals(diagnosed(quiet, facts), ["without-user"]);
    facts.sessionSeen(PASSPORT);
    assertEquals(diagnosed(quiet, facts), [
      "without-user",
      "passport-without-user",
    ]);
  });

  it("finds a restless user", () => {
    const facts = new UserFacts(true);
    assertEquals(diagnosed({ ...quiet, user }, facts), []);
    for (let i = 0; i < 3; i++) facts.userChanged("a");
    assertEquals(diagnosed({ ...quiet, user }, facts), ["restless-user"]);
  });
});

describe("handleOf", () => {
  it("is the record's handle, or derived from the id and unlike its hash", () => {
    assertEquals(handleOf("id", { handle: "h" }), "h");
    const derived = handleOf("id", { handle: undefined });
    assertEquals(handleOf("id", {}), derived);
    assertNotEquals(handleOf("other", {}), derived);
    assertFalse(hashId("id").startsWith(derived));
  });
});
