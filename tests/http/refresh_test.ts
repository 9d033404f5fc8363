import { assert, assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { once, pause } from "../support/wait.ts";

function start(options: TestOptions = {}) {
  return startServer(options, (parts) => {
    const refresh = parts.bridge.refresh();
    parts.app.use((ctx, next) =>
      ctx.path === "/refresh" ? refresh(ctx) : next()
    );
    routesAndEvents(parts);
  });
}

describe("bridge.refresh", () => {
  afterEach(closeServers);

  for (const method of ["GET", "POST", "PUT"]) {
    it(`answers ${method} with 204 and renewed cookies in a session`, async () => {
      const { browser } = await start();
      const ada = browser();
      await ada.post("/session", { json: { n: 1 } });
      const sid = ada.jar.get(KEY);
      const answer = await ada.request(method, "/refresh");
      assertEquals([answer.status, answer.body], [204, ""]);
      assertEquals(answer.headers["cache-control"], "no-store");
      assertEquals(answer.cookie(KEY)?.value, sid);
      assert(answer.cookie(CLIENT_KEY));
      assertEquals((await ada.get("/session")).json.session, { n: 1 });
    });
  }

  it("prolongs the life of the session", async () => {
    const { browser, bridge } = await start({ maxAge: 300 });
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    const sid = ada.jar.get(KEY)!;
    for (let i = 0; i < 4; i++) {
      await pause(100);
      assertEquals((await ada.post("/refresh")).status, 204);
    }
    assertEquals(await bridge.peek(sid), { n: 1 });
  });

  it("answers 401 with the client cookie without a session", async () => {
    const { browser, errors } = await start();
    const ada = browser();
    const answer = await ada.post("/refresh");
    assertEquals(answer.status, 401);
    assertEquals(answer.headers["cache-control"], "no-store");
    assertEquals(answer.cookie(KEY), undefined);
    assert(answer.cookie(CLIENT_KEY));
    assertEquals(errors, []);
    const socket = await ada.connect();
    const started = once(socket, "session:start");
    await ada.post("/session", { json: { n: 1 } });
    await started;
  });

  it("sends the client cookie where no middleware of the bridge does", async () => {
    const { browser } = await start({ clientAlwaysRoll: false });
    const ada = browser();
    await ada.get("/");
    assertEquals((await ada.get("/")).cookie(CLIENT_KEY), undefined);
    assert((await ada.post("/refresh")).cookie(CLIENT_KEY));
  });

  it("answers 401 after a logout", async () => {
    const { browser } = await start();
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    const cookies = ada.jar.header();
    await ada.post("/logout");
    assertEquals((await ada.post("/refresh")).status, 401);
    const headers = { cookie: cookies ?? "" };
    assertEquals((await ada.post("/refresh", { headers })).status, 401);
  });

  it("commits where autoCommit is off", async () => {
    const { browser } = await start({ autoCommit: false });
    const ada = browser();
    assertEquals((await ada.post("/refresh")).status, 401);
  });
});
