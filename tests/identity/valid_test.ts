/** The option `valid`: whom it turns down gets nothing of the session, over HTTP and sockets. */
import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import {
  type Browser,
  CLIENT_KEY,
  closeServers,
  KEY,
  type Scene,
  startScene,
  type TestOptions,
  unhandledIn,
  until,
} from "../support/issue3.ts";

interface Asker {
  get(header: string): string;
}

/** How a request, or a handshake, of this device looks. */
const as = (device: string) => ({ headers: { "x-device": device } });
const GOOD = as("good");
const BAD = as("bad");

/** Binds a session to the device that it was begun on. */
const options = (): TestOptions => ({
  view: ({ user }) => user,
  valid: (ctx, session) =>
    session.device === undefined ||
    session.device === (ctx as Asker).get("x-device"),
});

async function login(scene: Scene, browser: Browser): Promise<string> {
  scene.route("/login", (ctx) => {
    ctx.session!.device = ctx.get("x-device");
    ctx.session!.user = "ada";
  });
  await browser.get("/login", GOOD);
  return (await browser.get("/session", GOOD)).json.sessionId;
}

/** The cookies of the session alone, as a thief may have got hold of them. */
async function sessionCookies(scene: Scene, browser: Browser): Promise<string> {
  scene.route("/cookies", (ctx) => ctx.get("cookie"));
  const { body } = await browser.get("/cookies", GOOD);
  return body.split("; ").filter((cookie) =>
    cookie.startsWith(`${KEY}=`) || cookie.startsWith(`${KEY}.sig=`)
  ).join("; ");
}

describe("valid", () => {
  afterEach(closeServers);

  it("keeps a socket out that it turned down, whoever connects beside it", async () => {
    const scene = await startScene(options());
    const ada = scene.browser();
    const sessionId = await login(scene, ada);
    const before = await ada.connect("/", BAD);
    const good = await ada.connect("/", GOOD);
    const after = await ada.connect("/", BAD);
    assertEquals((await ada.ask(good, "get")).user, "ada");
    for (const bad of [before, after]) {
      assertEquals((await ada.ask(bad, "get")).code, "SESSION_MISSING");
      assertEquals((await ada.ask(bad, "whoami")).sessionId, undefined);
    }
    const members = await scene.bridge.toSession(sessionId).fetchSockets();
    assertEquals(members.map(({ id }) => id), [good.id]);
    scene.route("/rename", (ctx) => void (ctx.session!.user = "lovelace"));
    await ada.get("/rename", GOOD);
    await ada.post("/logout", GOOD);
    await ada.heard(good, "session:end");
    for (const bad of [before, after]) {
      await ada.ask(bad, "whoami");
      assertEquals(ada.received(bad), []);
    }
  });

  it("takes along those guests of the client that it lets in", async () => {
    const scene = await startScene(options());
    const ada = scene.browser();
    await ada.get("/", GOOD);
    const good = await ada.connect("/", GOOD);
    const bad = await ada.connect("/", BAD);
    await login(scene, ada);
    await ada.heard(good, "session:start");
    assertEquals((await ada.ask(good, "get")).user, "ada");
    assertEquals((await ada.ask(bad, "get")).code, "SESSION_MISSING");
  });

  it("is asked again when a session begins anew", async () => {
    const scene = await startScene(options());
    const ada = scene.browser();
    await login(scene, ada);
    const good = await ada.connect("/", GOOD);
    const bad = await ada.connect("/", BAD);
    await ada.post("/logout", GOOD);
    await ada.heard(good, "session:end");
    await ada.get("/login", BAD);
    await ada.heard(bad, "session:start");
    assertEquals((await ada.ask(bad, "get")).device, "bad");
    assertEquals((await ada.ask(good, "get")).code, "SESSION_MISSING");
  });

  it("keeps them apart when the session gets a new id", async () => {
    const scene = await startScene(options());
    const ada = scene.browser();
    await login(scene, ada);
    const good = await ada.connect("/", GOOD);
    const bad = await ada.connect("/", BAD);
    scene.route("/regenerate", (ctx) => ctx.regenerateSession());
    await ada.get("/regenerate", GOOD);
    await ada.heard(good, "session:rotated");
    assertEquals((await ada.ask(good, "get")).user, "ada");
    assertEquals((await ada.ask(bad, "get")).code, "SESSION_MISSING");
    assertEquals(ada.received(bad), []);
  });

  it("forgets a socket that it turned down once it is gone", async () => {
    const scene = await startScene(options());
    const ada = scene.browser();
    await login(scene, ada);
    const bad = await ada.connect("/", BAD);
    await ada.connect("/", GOOD);
    bad.disconnect();
    await until(() => scene.io.sockets.sockets.size === 1, "the end");
    assertEquals(scene.bridge.stats().sockets, 1);
    const again = await ada.connect("/", GOOD);
    assertEquals((await ada.ask(again, "get")).user, "ada");
  });

  it("gives a request that it turns down neither client nor session", async () => {
    const scene = await startScene(options());
    const ada = scene.browser();
    const sessionId = await login(scene, ada);
    const { clientId } = (await ada.get("/session", GOOD)).json;
    const good = await ada.connect("/", GOOD);
    const ends: string[] = [];
    scene.bridge.on("sessionEnd", ({ reason }) => ends.push(reason));
    let invalid = 0;
    scene.app.on("session:invalid", () => invalid++);

    const cookie = await sessionCookies(scene, ada);
    const thief = scene.browser();
    const stolen = { headers: { cookie, "x-device": "bad" }, keep: false };
    const seen = await thief.get("/session", stolen);
    assertNotEquals(seen.json.clientId, clientId);
    assertNotEquals(seen.cookie(CLIENT_KEY)?.value, clientId);
    scene.route("/write", (ctx) => void (ctx.session!.by = "thief"));
    await thief.get("/write", stolen);
    assertEquals(ends, []);
    assertEquals(invalid, 2);
    assertEquals((await ada.get("/session", GOOD)).json.sessionId, sessionId);
    assertEquals((await ada.ask(good, "get")).user, "ada");
  });

  it("is asked before a request is sent its client's session", async () => {
    const scene = await startScene(options());
    const ada = scene.browser();
    await login(scene, ada);
    const cookies = await sessionCookies(scene, ada);
    // a session that is over, of the same browser
    await ada.post("/logout", GOOD);
    await login(scene, ada);
    scene.route("/jar", (ctx) => ctx.get("cookie"));
    const all = (await ada.get("/jar", GOOD)).body.split("; ")
      .filter((cookie) => cookie.startsWith(CLIENT_KEY)).join("; ");
    const cookie = `${cookies}; ${all}`;
    const answers = await Promise.all(
      ["good", "bad"].map((device) =>
        ada.get("/session", {
          headers: { cookie, "x-device": device },
          keep: false,
        })
      ),
    );
    assertEquals(
      answers.map((answer) => answer.cookie(KEY) !== undefined),
      [true, false],
    );
  });

  it("is asked once a request", async () => {
    let asked = 0;
    const scene = await startScene({ valid: () => ++asked > 0 });
    const { browser } = await scene.visit();
    asked = 0;
    await browser.get("/session");
    assertEquals(asked, 1);
  });

  it("that throws null refuses the socket", async () => {
    let broken = false;
    const scene = await startScene({
      valid: () => {
        if (broken) throw null;
        return true;
      },
    });
    const { browser } = await scene.visit();
    broken = true;
    const unhandled = await unhandledIn(async () => {
      await assertRejects(() => browser.connect(), Error, "Cannot open");
    });
    assertEquals(unhandled, []);
  });
});
