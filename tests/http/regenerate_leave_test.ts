/** A login that leaves the old sockets behind, and answers that come late. */
import { assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { TestSession } from "../support/app.ts";
import { CLIENT_KEY } from "../support/cookies.ts";
import { routesAndEvents } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";
import { once } from "../support/wait.ts";

describe("regenerateSession with leave", () => {
  afterEach(closeServers);

  it("keeps old sockets out though a late answer restored the old client cookie", async () => {
    const { browser, bridge } = await startServer({}, (parts) => {
      parts.app.use(async (ctx, next) => {
        if (ctx.path !== "/enter") return await next();
        ctx.session = { user: "grace" };
        await ctx.regenerateSession({ sockets: "leave" });
        ctx.body = "in";
      });
      routesAndEvents(parts);
    });
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    const old = await ada.connect();
    const pairs = () => ada.jar.header()!.split("; ");
    const isClient = (pair: string) => pair.startsWith(CLIENT_KEY);
    const before = pairs().filter(isClient);
    await ada.post("/enter");
    // an answer from before the login arrives last: its client cookie is the old one
    const mixed = [...pairs().filter((it) => !isClient(it)), ...before];
    await ada.get("/session", { headers: { cookie: mixed.join("; ") } });
    assertEquals((await ada.ask(old, "whoami")).sessionId, undefined);
    assertEquals((await ada.ask(old, "get")).code, "SESSION_MISSING");
    void bridge;
  });

  for (const begins of [true, false]) {
    const what = begins ? "begins with a user" : "is given a user";
    it(`makes sockets reconnect where the session ${what}: the stricter holds`, async () => {
      const options = { user: (session: TestSession) => session.user };
      const { browser } = await startServer(options, (parts) => {
        parts.app.use(async (ctx, next) => {
          if (ctx.path !== "/enter") return await next();
          ctx.session = { user: "grace" };
          await ctx.regenerateSession({ sockets: "leave" });
          ctx.body = "in";
        });
        routesAndEvents(parts);
      });
      const grace = browser();
      await grace.get("/");
      if (!begins) await grace.post("/session", { json: { n: 1 } });
      const before = await grace.connect();
      const closed = once(before, "disconnect");
      await grace.post("/enter");
      assertEquals((await closed)[0], "transport close");
      const sockets = "reconnect";
      assertEquals(grace.received(before), [["session:rotated", { sockets }]]);
      const socket = await grace.connect();
      assertEquals(await grace.ask(socket, "get"), { user: "grace" });
    });
  }
});
