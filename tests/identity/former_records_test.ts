import {
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStrictEquals,
} from "@std/assert";
import { describe } from "@std/testing/bdd";
import { createHash } from "node:crypto";
import type { SessionRecord } from "@koa-io/session";
import type { TestSession } from "../support/app.ts";
import {
  CLIENT_KEY,
  CookieJar,
  KEY,
  signCookie,
  SIGNING_KEY,
} from "../support/cookies.ts";
import { command } from "../support/redis/commands.ts";
import { startScenario } from "../support/scenario.ts";
import { onEachStore, type StoreKind } from "../support/stores/each_store.ts";
import type { FakeStore } from "../support/stores/fake_store.ts";
import { HOUR, newId, record } from "../support/stores/records.ts";
import { formerFile } from "../support/sqlite.ts";

const user = (session: TestSession) => session.user;

/** Opens a store that holds a session as the first version wrote it. */
async function openWith(
  kind: StoreKind,
  sid: string,
  former: SessionRecord,
) {
  const { data, maxAge, expires, cookie, clientId, settled, user } = former;
  if (kind.name === "SQLite") {
    const file = formerFile(kind.place());
    file.write(sid, former);
    file.close();
    return await kind.open();
  }
  const store = await kind.open();
  if (kind.name === "basic") {
    (store as unknown as FakeStore).kept.set(
      sid,
      JSON.stringify({
        ...JSON.parse(data),
        _expire: expires,
        _maxAge: maxAge,
        _bridge: { clientId, settled, cookie, user },
      }),
    );
  } else if (kind.name === "Redis") {
    const binding = { maxAge, cookie, clientId, settled, user };
    await command(kind.port(), [
      "HSET",
      `${kind.place()}s:{${sid}}`,
      ...["v", "old.1", "e", String(expires), "a", ""],
      ...["m", JSON.stringify(binding), "d", data, "x", String(expires)],
    ]);
    const hash = createHash("sha256").update(user!).digest("base64url");
    await command(kind.port(), [
      "ZADD",
      `${kind.place()}u:${hash.slice(0, 22)}`,
      String(expires),
      sid,
    ]);
  } else {
    await (store as unknown as {
      write(sid: string, record: object, expected: null): unknown;
    }).write(
      sid,
      { data, maxAge, expires, cookie, clientId, settled, user },
      null,
    );
  }
  return store;
}

/** The cookies that a browser has of a session. */
function jarOf(sid: string, clientId: string): CookieJar {
  const cookies = [[KEY, sid], [CLIENT_KEY, clientId]] as const;
  return new CookieJar(
    cookies.flatMap(([name, value]): [string, string][] => [
      [name, value],
      [`${name}.sig`, signCookie(name, value, SIGNING_KEY)],
    ]),
  );
}

onEachStore((kind) => {
  const startWith = async (data: TestSession) => {
    const [sid, clientId] = [newId(), newId("client")];
    const former = record({
      data: JSON.stringify(data),
      cookie: Date.now() + HOUR,
      clientId,
      settled: true,
      user: data.user,
    });
    const store = await openWith(kind, sid, former);
    const scenario = await startScenario({
      store,
      user,
      meta: (ctx) => ({ path: ctx.path }),
    });
    scenario.route("/regenerate", (ctx) => ctx.regenerateSession());
    return { scenario, sid, browser: scenario.browser(jarOf(sid, clientId)) };
  };

  describe("a record of the first version", () => {
    kind.it("is read, over HTTP and by sockets", async () => {
      const { scenario, sid, browser } = await startWith({ user: "ada", n: 1 });
      await using _ = scenario;
      const { sessionId, session } = (await browser.get("/session")).json;
      assertStrictEquals(sessionId, sid);
      assertEquals(session, { user: "ada", n: 1 });
      const socket = await browser.connect();
      assertStrictEquals(await browser.ask(socket, "add"), 2);
      const [own] = await scenario.bridge.sessionsOf("ada");
      assertStrictEquals(own!.created, undefined);
      assertStrictEquals(own!.authenticatedAt, undefined);
      assertStrictEquals(own!.meta, undefined);
      assertEquals(own!.session, { user: "ada", n: 2 });
    });

    kind.it("has a handle that is derived, and then kept", async () => {
      const { scenario, sid, browser } = await startWith({ user: "ada", n: 1 });
      await using _ = scenario;
      const { bridge } = scenario;
      await browser.get("/session");
      const handleOf = async () => {
        const [own, ...others] = await bridge.sessionsOf("ada");
        assertEquals(others, []);
        return own!.handle;
      };
      const handle = await handleOf();
      assertMatch(handle, /^[\w-]{16}$/);
      await browser.post("/session", { json: { n: 2 } });
      assertStrictEquals(await handleOf(), handle);
      for (let i = 0; i < 2; i++) {
        await browser.post("/regenerate");
        const { sessionId } = (await browser.get("/session")).json;
        assertNotEquals(sessionId, sid);
        assertStrictEquals(await handleOf(), handle);
      }
      assertEquals(await bridge.destroyUser("ada", { only: handle }), 1);
      assertEquals(await bridge.sessionsOf("ada"), []);
    });

    kind.it("gets the new fields with its next login", async () => {
      const { scenario, browser } = await startWith({ user: "ada" });
      await using _ = scenario;
      const { bridge } = scenario;
      await browser.get("/session");
      const [before] = await bridge.sessionsOf("ada");
      const now = Date.now();
      await browser.post("/session", { json: { user: "bob" } });
      const [own] = await bridge.sessionsOf("bob");
      assertStrictEquals(own!.created, undefined);
      assertEquals(own!.authenticatedAt! >= now, true);
      assertEquals(own!.lastUsed! >= now, true);
      assertEquals(own!.meta, { path: "/session" });
      assertNotEquals(own!.handle, before!.handle);
    });

    kind.it("is ended by destroyUser", async () => {
      const { scenario, sid, browser } = await startWith({ user: "ada" });
      await using _ = scenario;
      // what a basic store holds is not searched
      if (kind.name === "basic") await browser.get("/session");
      assertEquals(await scenario.bridge.destroyUser("ada"), 1);
      assertStrictEquals(await scenario.peek(sid), undefined);
    });
  });
});
