import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { connectedScenario } from "../support/connected_scenario.ts";
import {
  CLIENT_KEY,
  KEY,
  signCookie,
  SIGNING_KEY,
} from "../support/cookies.ts";
import { unhandledIn } from "../support/errors.ts";
import { closeServers } from "../support/server.ts";

// A sibling host sets cookies for the whole domain; with a longer path they
// come first in every request.

/** A cookie and its signature, as in a `Cookie` header. */
function signed(name: string, value: string): string {
  const signature = signCookie(name, value, SIGNING_KEY);
  return `${name}=${value}; ${name}.sig=${signature}; `;
}

const JUNK = "x".repeat(27);

const invalid: Record<string, (name: string) => string> = {
  "without a signature": (name) => `${name}=tossed; `,
  "with a forged signature": (name) => `${name}=tossed; ${name}.sig=${JUNK}; `,
  "that is empty": (name) => `${name}=; ${name}.sig=; `,
  "that is quoted": (name) => `${name}="tossed"; ${name}.sig="${JUNK}"; `,
  "of 6 KB": (name) => `${name}=${"a".repeat(6_000)}; ${name}.sig=${JUNK}; `,
  "signed for another name": (name) =>
    signed("other", "tossed").replaceAll("other", name),
};

describe("a cookie that comes twice", () => {
  afterEach(closeServers);

  for (const [what, tossed] of Object.entries(invalid)) {
    for (const name of [KEY, CLIENT_KEY]) {
      it(`counts where the first of its name is one ${what}: ${name}`, async () => {
        const stand = await connectedScenario({ n: 1 });
        const { ada } = stand;
        const cookie = tossed(name) + ada.jar.header();
        const unhandled = await unhandledIn(async () => {
          const answer = await ada.get("/session", { headers: { cookie } });
          assertEquals(answer.json.session, { n: 1 });
          assertEquals(answer.json.clientId, ada.jar.get(CLIENT_KEY));
          const socket = await ada.connect("/", { headers: { cookie } });
          assertEquals(await ada.ask(socket, "get"), { n: 1 });
        });
        assertEquals(unhandled, []);
        assertEquals(stand.errors, []);
      });
    }
  }

  it("is not needed first: a client cookie of another browser before it leaves the session alone", async () => {
    const { ada, browser } = await connectedScenario({ n: 1 });
    const mallory = browser();
    const { clientId } = (await mallory.get("/")).json;
    const cookie = signed(CLIENT_KEY, clientId) + ada.jar.header();
    const headers = { cookie };
    for (let i = 0; i < 3; i++) {
      const answer = await ada.get("/session", { headers });
      assertEquals(answer.json.session, { n: 1 });
      assertEquals(answer.json.clientId, ada.jar.get(CLIENT_KEY));
      for (const transports of [["websocket"], ["polling"]]) {
        const socket = await ada.connect("/", { transports, headers });
        assertEquals(await ada.ask(socket, "get"), { n: 1 });
        const { clientId } = await ada.ask(socket, "whoami");
        assertEquals(clientId, ada.jar.get(CLIENT_KEY));
      }
    }
    const socket = await mallory.connect();
    assertEquals((await mallory.ask(socket, "get")).error, "Session missing");
  });

  it("is the first one where both are genuine", async () => {
    const { ada, browser } = await connectedScenario({ n: 1 });
    const bob = browser();
    await bob.post("/session", { json: { n: 2 } });
    const both = signed(KEY, bob.jar.get(KEY)!) +
      signed(KEY, ada.jar.get(KEY)!);
    const { session } = (await browser().get("/session", {
      headers: { cookie: both },
    })).json;
    assertEquals(session, { n: 2 });
  });

  it("is looked for among a few only", async () => {
    const { ada, errors } = await connectedScenario({ n: 1 });
    const many = `${KEY}=a; ${KEY}.sig=${JUNK}; `.repeat(250);
    const cookie = many + ada.jar.header();
    assert(cookie.length > 10_000);
    const answer = await ada.get("/session", { headers: { cookie } });
    assertEquals([answer.status, answer.json.session], [200, {}]);
    assertEquals(answer.cookie(KEY), undefined);
    assertNotEquals(answer.json.clientId, undefined);
    assertEquals(errors, []);
  });
});

describe("a forged cookie", () => {
  afterEach(closeServers);

  it("removes nothing: a cached answer would remove it in other browsers", async () => {
    const { ada } = await connectedScenario({ n: 1 });
    for (const name of [KEY, CLIENT_KEY]) {
      const cookie = `${name}=forged; ${name}.sig=${JUNK}`;
      const answer = await ada.get("/", { headers: { cookie }, keep: false });
      assert(answer.setCookies.every(({ deletes }) => !deletes));
    }
  });
});
