/** A request that changes the user of its session and gives it a new id. */
import { assertEquals } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import { serverSocketOf, type TestContext } from "../support/app.ts";
import { BridgeRooms } from "../support/bridge_rooms.ts";
import { closeServers } from "../support/server.ts";
import { onEachStore } from "../support/stores/each_store.ts";
import { tabScene } from "../support/tab_scene.ts";

/** The orders in which a request does both. */
const ORDERS: Record<string, (ctx: TestContext, user?: string) => unknown> = {
  "before its new id": async (ctx, user) => {
    ctx.session!.user = user!;
    await ctx.regenerateSession();
  },
  "after its new id": async (ctx, user) => {
    await ctx.regenerateSession();
    ctx.session!.user = user!;
  },
  "before a new id that is not awaited": (ctx, user) => {
    ctx.session!.user = user!;
    void ctx.regenerateSession();
  },
};

onEachStore((kind) => {
  afterEach(closeServers);

  for (const onUserChange of ["follow", "keep"] as const) {
    describe(`a change of user with onUserChange: "${onUserChange}"`, () => {
      for (const [order, act] of Object.entries(ORDERS)) {
        for (const to of ["bob", undefined]) {
          kind.it(
            `${order} leaves no socket in the former user's room: ${to}`,
            async () => {
              const store = await kind.open();
              const scene = await tabScene({ user: "ada" }, {
                store,
                onUserChange,
              });
              const { bridge, browser, io, tabs, stand } = scene;
              const rooms = new BridgeRooms(io);
              bridge.toUser("ada");
              const sockets = tabs.map(({ client }) =>
                serverSocketOf(io, client)
              );
              stand.route("/switch", (ctx) => act(ctx, to));
              await browser.get("/switch");
              const { sessionId } = (await browser.get("/")).json;
              for (const tab of tabs) await tab.isIn(sessionId);
              assertEquals(
                (await bridge.toUser("ada").fetchSockets()).map(({ id }) => id),
                [],
              );
              const members = to ? await bridge.toUser(to).fetchSockets() : [];
              assertEquals(members.length, to ? 2 : 0);
              for (const socket of sockets) {
                assertEquals(rooms.of(socket).length, to ? 3 : 2);
              }
            },
          );
        }
      }
    });
  }
});
