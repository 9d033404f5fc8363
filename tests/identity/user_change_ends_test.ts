/** Ends and begins of sessions with a user, and what `onSessionEnd` does at a logout. */
import { assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { native, serverSocketOf, type TestContext } from "../support/app.ts";
import { BridgeRooms } from "../support/bridge_rooms.ts";
import { closeServers } from "../support/server.ts";
import { MODES, type TabScene, tabScene } from "../support/tab_scene.ts";
import { collect, once } from "../support/wait.ts";

for (const mode of MODES) {
  describe(`onUserChange: "${mode}", ctx.session = null`, () => {
    afterEach(closeServers);

    for (
      const [way, end] of Object.entries<(ctx: TestContext) => unknown>({
        "assignment": (ctx) => void (ctx.session = null),
        "ctx.withSession": (ctx) =>
          ctx.withSession((sessionCtx) => void (sessionCtx.session = null)),
        "an assignment after regenerate()": async (ctx) => {
          await native(ctx).regenerate();
          ctx.session = null;
        },
      })
    ) {
      it(`by ${way} is a logout`, async () => {
        const stand = await tabScene({ user: "ada" }, { onUserChange: mode });
        const { browser, tabs, events, clientId, sessionId } = stand;
        const lost = tabs.map((tab) => collect(tab.client, "disconnect"));
        stand.route("/out", end);
        await browser.get("/out");
        const after = (await browser.get("/")).json;
        assertEquals(after.sessionId, undefined);
        assertEquals(after.clientId, clientId);
        for (const tab of tabs) await tab.isIn(undefined);
        assertEquals(
          lost.map((reasons) => reasons.length),
          mode === "reconnect" ? [1, 1] : [0, 0],
        );
        for (const { notices } of tabs) {
          assertEquals(notices.at(-1), ["session:end", { reason: "logout" }]);
        }
        const ends = events.filter(([name]) => name === "sessionEnd");
        const last = ends.at(-1)![1] as Record<string, unknown>;
        assertEquals(last.reason, "logout");
        if (way.includes("regenerate")) return;
        assertEquals(last.sessionId, sessionId);
        assertEquals(events.length, 2);
        const change = { from: "ada", to: undefined, ids: "new", local: true };
        assertEquals(events[1], [
          "userChange",
          { sessionId, clientId, ...change },
        ]);
      });
    }

    it("of a session without a user closes no connection", async () => {
      const stand = await tabScene({ n: 1 }, { onUserChange: mode });
      const { browser, tabs } = stand;
      const lost = tabs.map((tab) => collect(tab.client, "disconnect"));
      await browser.post("/logout");
      for (const tab of tabs) await tab.isIn(undefined);
      assertEquals(lost, [[], []]);
    });
  });

  describe(`onUserChange: "${mode}", a session that begins with a user`, () => {
    afterEach(closeServers);

    for (
      const [way, begin] of Object.entries<(ctx: TestContext) => unknown>({
        "assignment": (ctx) => void (ctx.session!.user = "ada"),
        "a new object": (ctx) => void (ctx.session = { user: "ada" } as never),
        "save()": async (ctx) => {
          ctx.session!.user = "ada";
          await native(ctx).save();
        },
        "ctx.withSession": async (ctx) => {
          ctx.session!.n = 1;
          await ctx.withSession(({ session }) => {
            session!.user = "ada";
          });
        },
        "regenerate()": async (ctx) => {
          ctx.session!.n = 1;
          await native(ctx).regenerate();
          ctx.session!.user = "ada";
        },
      })
    ) {
      it(`by ${way} is a login`, async () => {
        const stand = await tabScene(null, { onUserChange: mode });
        const { browser, tabs, events, clientId } = stand;
        const lost = tabs.map((tab) => collect(tab.client, "disconnect"));
        stand.route("/in", begin);
        await browser.get("/in");
        const after = (await browser.get("/")).json;
        for (const tab of tabs) await tab.isIn(after.sessionId);
        assertEquals(after.clientId, clientId);
        assertEquals(
          lost.map((reasons) => reasons.length),
          mode === "reconnect" ? [1, 1] : [0, 0],
        );
        if (mode === "reconnect") {
          assertEquals(tabs[0]!.notices, [
            ["session:rotated", { sockets: "reconnect" }],
          ]);
        }
        const changes = events.filter(([name]) => name === "userChange");
        assertEquals(changes.length, 1);
        const { from, to } = changes[0]![1] as Record<string, unknown>;
        assertEquals([from, to], [undefined, "ada"]);
        if (mode === "keep") return;
        assertEquals(events, [
          ["sessionStart", {
            clientId,
            sessionId: after.sessionId,
            cause: "created",
            local: true,
          }],
          ["userChange", {
            sessionId: after.sessionId,
            clientId,
            from,
            to,
            ids: "new",
            local: true,
          }],
        ]);
      });
    }
  });
}

describe('onUserChange: "reconnect", and onSessionEnd', () => {
  afterEach(closeServers);

  const logout = ({ route }: TabScene) =>
    route("/out", (ctx) => void delete ctx.session!.user);

  it('"disconnect" ends the sockets, which do not come back by themselves', async () => {
    const stand = await tabScene({ user: "ada" }, {
      onSessionEnd: "disconnect",
    });
    logout(stand);
    const lost = stand.tabs.map(({ client }) => once(client, "disconnect"));
    await stand.browser.get("/out");
    for (const [why] of await Promise.all(lost)) {
      assertEquals(why, "io server disconnect");
    }
    for (const { notices } of stand.tabs) {
      assertEquals(notices, [["session:end", { reason: "logout" }]]);
    }
  });

  it("disconnectAfter sends the application's event, and does not reach the new connection", async () => {
    const stand = await tabScene({ user: "ada" }, {
      onSessionEnd: { disconnectAfter: 50, event: "bye" },
    });
    logout(stand);
    const byes = stand.tabs.map(({ client }) => once(client, "bye"));
    await stand.browser.get("/out");
    assertEquals(await Promise.all(byes), [
      [{ reason: "logout" }],
      [{ reason: "logout" }],
    ]);
    const { sessionId } = (await stand.browser.get("/")).json;
    for (const tab of stand.tabs) await tab.isIn(sessionId);
  });

  it("rooms that the application joined for the user are left with the connection", async () => {
    const stand = await tabScene({ user: "ada" });
    logout(stand);
    for (const tab of stand.tabs) {
      serverSocketOf(stand.io, tab.client).join("ada's");
    }
    const lost = stand.tabs.map(({ client }) => once(client, "disconnect"));
    await stand.browser.get("/out");
    await Promise.all(lost);
    assertEquals(stand.io.of("/").adapter.rooms.has("ada's"), false);
  });

  it("the rooms of the bridge are empty when the commit resolves", async () => {
    const stand = await tabScene({ user: "ada" });
    const rooms = new BridgeRooms(stand.io);
    const { sessionId, tabs } = stand;
    const sockets = tabs.map(({ client }) => serverSocketOf(stand.io, client));
    let seen: unknown;
    stand.route("/out", async (ctx) => {
      delete ctx.session!.user;
      await native(ctx).save();
      seen = sockets.map((socket) => [
        socket.connected,
        socket.sessionId,
        rooms.of(socket),
      ]);
      await stand.bridge.withSession(sessionId, () => {}, "missing")
        .then((result) => assertEquals(result, "missing"));
    });
    await stand.browser.get("/out");
    assertEquals(seen, [[true, undefined, []], [true, undefined, []]]);
    assertEquals(stand.errors, []);
  });
});
