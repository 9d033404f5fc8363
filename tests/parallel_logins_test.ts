import { afterEach, describe, it } from "@std/testing/bdd";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { closeServers, collect, startScene } from "./support/issue3.ts";
import { LateStore } from "./support/late_store.ts";

const user = ({ user }: { user?: unknown }) => user as string | undefined;

describe("two logins at once of one browser", () => {
  afterEach(closeServers);

  for (const basic of [true, false]) {
    it(`leave one session, on ${basic ? "a basic store" : "SessionStore"}`, async () => {
      const store = basic ? { store: new LateStore() } : {};
      const { browser, bridge } = await startScene({ user, ...store });
      const ends = collect<[{ reason: string }]>(bridge, "sessionEnd");
      for (const name of ["ada", "bob", "cy"]) {
        const visitor = browser();
        await visitor.get("/");
        await Promise.all(
          ["a", "b", "c"].map((from) =>
            visitor.post("/session", { json: { user: name, from } })
          ),
        );
        const own = await bridge.sessionsOf(name);
        assertStrictEquals(own.length, 1);
        const { json } = await visitor.get("/session");
        assertStrictEquals(json.sessionId, own[0]!.sessionId);
      }
      assertEquals(
        ends.map(([{ reason }]) => reason),
        Array(6).fill("replaced"),
      );
    });
  }
});
