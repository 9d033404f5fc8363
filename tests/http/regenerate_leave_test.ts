/** A login that leaves the old sockets behind, and answers that come late. */
import { assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { CLIENT_KEY } from "../support/cookies.ts";
import { routesAndEvents } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";

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
});
