import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { OwnerIndex } from "../../src/stores/indexes.ts";

const ADA = { clientId: "ada", user: undefined };

describe("OwnerIndex", () => {
  it("keeps a client's new session when the old one is written late and removed", () => {
    const index = new OwnerIndex();
    index.add("old", ADA);
    index.add("new", ADA);
    index.replace("old", ADA, ADA);
    index.remove("old", ADA);
    assertEquals(index.byClient("ada"), "new");
  });

  it("follows a session to another client and another user", () => {
    const index = new OwnerIndex();
    index.add("sid", { clientId: "ada", user: "a" });
    index.replace("sid", { clientId: "ada", user: "a" }, {
      clientId: "eve",
      user: "e",
    });
    assertEquals(index.byClient("ada"), undefined);
    assertEquals(index.byClient("eve"), "sid");
    assertEquals([index.byUser("a"), index.byUser("e")], [[], ["sid"]]);
  });
});
