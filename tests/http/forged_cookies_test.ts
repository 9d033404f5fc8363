import {
  assert,
  assertEquals,
  assertFalse,
  assertNotEquals,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { SessionStore } from "@koa-io/session";
import { connectedScenario } from "../support/connected_scenario.ts";
import { CLIENT_KEY, CookieJar, KEY } from "../support/cookies.ts";
import { unhandledIn } from "../support/errors.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  type Stand,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import type { Stored } from "../support/stores/fake_store.ts";

/** A store that keeps its sessions in a plain object, as many examples do. */
function plainObjectStore() {
  const sessions: Record<string, Stored> = {};
  return {
    sessions,
    get: (sid: string) => sessions[sid],
    set(sid: string, session: Stored) {
      sessions[sid] = session;
    },
    destroy(sid: string) {
      delete sessions[sid];
    },
  };
}

/** Nothing opens with this `Cookie` header, and nothing breaks. */
async function opensNothing(stand: Stand, cookie: string) {
  const mallory = stand.browser();
  const answer = await mallory.get("/session", { headers: { cookie } });
  assertEquals(answer.status, 200, cookie.slice(0, 80));
  assertEquals(answer.json.session, {});
  assertEquals(answer.json.sessionId, undefined);
  for (const transports of [["websocket"], ["polling"]]) {
    const socket = await mallory.connect("/", {
      transports,
      headers: { cookie },
    });
    const { sessionId } = await mallory.ask(socket, "whoami");
    assertEquals(sessionId, undefined);
    assertEquals((await mallory.ask(socket, "get")).error, "Session missing");
  }
}

const names = ["__proto__", "constructor", "toString", "hasOwnProperty"];

const malformed: Record<string, string> = {
  "that are names of Object.prototype": names.map((name) =>
    `${KEY}=${name}; ${CLIENT_KEY}=${name}`
  ).join("\n"),
  "that are empty": `${KEY}=; ${CLIENT_KEY}=`,
  "without a value": `${KEY}; ${CLIENT_KEY}`,
  "made of separators": ";;; = ;=;==; ;",
  "badly escaped": `${KEY}=%E0%A4%A; ${CLIENT_KEY}=%`,
  "that are paths": `${KEY}=../../etc/passwd; ${CLIENT_KEY}=..%2f`,
  "with control characters escaped": `${KEY}=%00%0d%0a; ${CLIENT_KEY}=%00`,
  "in quotes": `${KEY}="x"; ${CLIENT_KEY}="\\"`,
  "given twice": `${KEY}=a; ${KEY}=b; ${CLIENT_KEY}=a; ${CLIENT_KEY}=b`,
  "of 6 KB": `${KEY}=${"a".repeat(6_000)}; ${CLIENT_KEY}=${"b".repeat(6_000)}`,
  "that are JSON": `${KEY}={"a":1}; ${CLIENT_KEY}=[1]`,
  "with bytes beyond ASCII": `${KEY}=\u00e9\u00ff; ${CLIENT_KEY}=\u00e9`,
};

describe("forged cookies", () => {
  afterEach(closeServers);

  for (const signed of [true, false]) {
    for (
      const [store, options] of Object.entries<() => TestOptions>({
        "the default store": () => ({ signed }),
        "a plain object as store": () => ({
          signed,
          store: plainObjectStore(),
        }),
      })
    ) {
      const where = `${signed ? "signed" : "unsigned"}, on ${store}`;
      for (const [what, headers] of Object.entries(malformed)) {
        it(`${what} open nothing (${where})`, async () => {
          const stand = await startServer(options(), routesAndEvents);
          const unhandled = await unhandledIn(async () => {
            for (const header of headers.split("\n")) {
              await opensNothing(stand, header);
            }
          });
          assertEquals(unhandled, []);
          assertEquals(stand.errors, []);
        });
      }
    }
  }

  it("named like a prototype's members begin an ordinary session", async () => {
    const store = plainObjectStore();
    const { browser } = await startServer(
      { signed: false, store } as TestOptions,
      routesAndEvents,
    );
    for (const name of names) {
      const mallory = browser();
      mallory.jar.set(KEY, name);
      mallory.jar.set(CLIENT_KEY, name);
      await mallory.post("/session", { json: { polluted: name } });
      assertNotEquals(mallory.jar.get(KEY), name);
      const { session } = (await mallory.get("/session")).json;
      assertEquals(session, { polluted: name });
      const socket = await mallory.connect();
      assertEquals(await mallory.ask(socket, "get"), { polluted: name });
    }
    assertFalse("polluted" in {});
    assertFalse("polluted" in (() => {}));
  });

  it("too large for the server are refused by it, and nothing else", async () => {
    const { browser } = await startServer({}, routesAndEvents);
    const mallory = browser();
    const cookie = `${KEY}=${"a".repeat(40_000)}`;
    assertEquals((await mallory.get("/", { headers: { cookie } })).status, 431);
    assertEquals((await mallory.get("/")).status, 200);
  });

  it("with a changed value, signature or none open nothing", async () => {
    const stand = await connectedScenario({ n: 1 });
    const { ada } = stand;
    const changed: ((jar: CookieJar, name: string) => void)[] = [
      (jar, name) => jar.set(name, `${jar.get(name)}x`),
      (jar, name) => jar.set(`${name}.sig`, `${jar.get(`${name}.sig`)}x`),
      (jar, name) => jar.set(`${name}.sig`, ""),
      (jar, name) => jar.set(`${name}.sig`, "x".repeat(27)),
      (jar, name) => {
        const value = jar.get(name)!;
        jar.delete(name);
        jar.set(name, value);
      },
      (jar, name) => {
        const other = name === KEY ? CLIENT_KEY : KEY;
        jar.set(`${name}.sig`, ada.jar.get(`${other}.sig`)!);
      },
    ];
    for (const change of changed) {
      const jar = ada.jar.clone();
      change(jar, KEY);
      change(jar, CLIENT_KEY);
      await opensNothing(stand, jar.header());
    }
    assertEquals((await ada.get("/session")).json.session, { n: 1 });
  });

  it("with a changed client cookie make a new client, not another's", async () => {
    const { ada, browser } = await connectedScenario({ n: 1 });
    const mallory = browser();
    mallory.jar.set(CLIENT_KEY, ada.jar.get(CLIENT_KEY)!);
    mallory.jar.set(`${CLIENT_KEY}.sig`, "x".repeat(27));
    const { clientId } = (await mallory.get("/")).json;
    assertNotEquals(clientId, ada.jar.get(CLIENT_KEY));
    assertEquals(mallory.jar.get(CLIENT_KEY), clientId);
  });

  it("that swap the two cookies' values open nothing", async () => {
    const stand = await connectedScenario({ n: 1 }, { signed: false });
    const { ada } = stand;
    await opensNothing(
      stand,
      `${KEY}=${ada.jar.get(CLIENT_KEY)}; ${CLIENT_KEY}=${ada.jar.get(KEY)}`,
    );
  });

  it("with another client's dead session open nothing", async () => {
    const stand = await connectedScenario({ n: 1 });
    const { ada } = stand;
    const jar = new CookieJar();
    for (const name of [KEY, `${KEY}.sig`]) jar.set(name, ada.jar.get(name)!);
    await ada.post("/logout");
    await ada.post("/session", { json: { n: 2 } });
    await opensNothing(stand, jar.header());
    assert((stand.bridge.store as SessionStore).size >= 1);
  });
});

describe("forged session data", () => {
  afterEach(closeServers);

  it("named __proto__ touches no prototype", async () => {
    const { socket, ada } = await connectedScenario({ n: 1 });
    await socket.withSession(({ session }) => {
      Object.defineProperty(session, "__proto__", {
        value: { polluted: 1 },
        enumerable: true,
        configurable: true,
        writable: true,
      });
    }).catch(() => {});
    await socket.withSession((sessionCtx) => {
      sessionCtx.session = JSON.parse(
        '{ "n": 2, "nested": { "__proto__": { "polluted": 1 } } }',
      );
    }).catch(() => {});
    assertEquals((await ada.get("/session")).status, 200);
    const seen = await socket.withSession(({ session }) =>
      "polluted" in session!
    );
    assertFalse(seen);
    assertFalse("polluted" in {});
  });
});
