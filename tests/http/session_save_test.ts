/** A save() in the middle of a request that merges what another wrote. */
import { assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { native } from "../support/app.ts";
import { KEY } from "../support/cookies.ts";
import { closeServers, startServer } from "../support/server.ts";

describe("ctx.session.save in the middle of a request", () => {
  afterEach(closeServers);

  it("loses nothing of what others wrote before it", async () => {
    const { browser, bridge } = await startServer({}, ({ app, bridge }) => {
      app.use(async (ctx) => {
        ctx.body = {};
        const sid = ctx.sessionId;
        ctx.session!.n = 2;
        if (!sid) return;
        await bridge.withSession(sid, ({ session }) => {
          session.user = "ada";
        });
        await native(ctx).save();
        ctx.session!.extra = 1;
      });
    });
    const ada = browser();
    await ada.get("/");
    await ada.get("/");
    const session = await bridge.peek(ada.jar.get(KEY)!);
    assertEquals(session, { n: 2, user: "ada", extra: 1 });
  });
});
