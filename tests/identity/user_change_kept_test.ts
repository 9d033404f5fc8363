/** Changes of user that can send no cookies: by sockets, by id, and after the headers. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { native, type TestContext, type TestSession } from "../support/app.ts";
import { mentionsSession } from "../support/browser.ts";
import { warningsOf } from "../support/console.ts";
import { closeServers } from "../support/server.ts";
import { MODES, type TabScene, tabScene } from "../support/tab_scene.ts";
import { collect } from "../support/wait.ts";

/** A way to change a session that can send no cookies. */
type Way = (
  scene: TabScene,
  apply: (session: TestSession) => void,
) => Promise<unknown>;

/** Has a request change its session once its headers are out. */
const afterHeaders = (
  change: (ctx: TestContext, apply: (session: TestSession) => void) => unknown,
): Way =>
async (scene, apply) => {
  scene.route("/late", async (ctx) => {
    ctx.status = 200;
    ctx.flushHeaders();
    await change(ctx, apply);
    ctx.res.end("late");
  });
  const answer = await scene.browser.get("/late");
  assertEquals(mentionsSession(answer), false);
};

const WAYS: Record<string, Way> = {
  "socket.withSession": ({ socket }, apply) =>
    socket.withSession(({ session }) => apply(session!)),
  "bridge.withSession": ({ bridge, sessionId }, apply) =>
    bridge.withSession(sessionId, ({ session }) => apply(session!)),
  "assignment after the headers": afterHeaders((ctx, apply) =>
    apply(ctx.session!)
  ),
  "save() after the headers": afterHeaders(async (ctx, apply) => {
    apply(ctx.session!);
    await native(ctx).save();
  }),
  "ctx.withSession after the headers": afterHeaders((ctx, apply) =>
    ctx.withSession(({ session }) => apply(session!))
  ),
};

const CHANGES: [string, string | undefined, string | undefined][] = [
  ["login", undefined, "ada"],
  ["logout", "ada", undefined],
  ["switch", "ada", "bob"],
];

for (const mode of MODES) {
  describe(`onUserChange: "${mode}", where no cookie can be sent`, () => {
    afterEach(closeServers);

    for (const [name, from, to] of CHANGES) {
      for (const [way, act] of Object.entries(WAYS)) {
        it(`${name} by ${way} keeps ids and sockets`, async () => {
          const warnings = await warningsOf(async () => {
            const stand = await tabScene({ n: 1, ...from && { user: from } }, {
              onUserChange: mode,
            });
            const { browser, tabs, events, sessionId, clientId } = stand;
            const lost = tabs.map((tab) => collect(tab.client, "disconnect"));
            const toUser = tabs.map((tab) => collect(tab.client, "to bob"));
            await act(
              stand,
              (session) => {
                if (to === undefined) delete session.user;
                else session.user = to;
              },
            );
            const ids = "kept";
            assertEquals(events, [
              ["userChange", {
                sessionId,
                clientId,
                from,
                to,
                ids,
                local: true,
              }],
            ]);
            stand.bridge.toUser("bob").emit("to bob");
            for (const tab of tabs) await tab.isIn(sessionId);
            assertEquals(lost, [[], []]);
            for (const { notices } of tabs) assertEquals(notices, []);
            const reached = to === "bob" ? [[[]], [[]]] : [[], []];
            assertEquals(toUser, reached);
            assertEquals(
              (await browser.get("/session")).json.session.user,
              to,
            );
            assertEquals(
              (await stand.bridge.sessionsOf("ada")).length,
              Number(
                to === "ada",
              ),
            );
          });
          if (mode !== "reconnect" || to === undefined) return;
          assertEquals(
            warnings.filter((it) => /Log in over HTTP/.test(it)).length,
            1,
          );
        });
      }
    }

    for (
      const [way, end] of Object.entries<Way>({
        "socket.withSession": ({ socket }) =>
          socket.withSession((ctx) => void (ctx.session = null)),
        "bridge.withSession": ({ bridge, sessionId }) =>
          bridge.withSession(sessionId, (ctx) => void (ctx.session = null)),
      })
    ) {
      it(`session = null by ${way} logs out, and leaves connected what onSessionEnd keeps`, async () => {
        const stand = await tabScene({ user: "ada" }, { onUserChange: mode });
        const { browser, tabs, events } = stand;
        const lost = tabs.map((tab) => collect(tab.client, "disconnect"));
        await end(stand, () => {});
        for (const tab of tabs) {
          await tab.isIn(undefined);
          assertEquals(tab.notices, [["session:end", { reason: "logout" }]]);
        }
        assertEquals(lost, [[], []]);
        assertEquals(events.map(([name]) => name), [
          "sessionEnd",
          "userChange",
        ]);
        assertEquals((await browser.get("/session")).json.session, {});
      });
    }
  });
}

describe('onUserChange: "reconnect", a login by a socket', () => {
  afterEach(closeServers);

  it("is warned of once", async () => {
    const warnings = await warningsOf(async () => {
      const stand = await tabScene({ n: 1 });
      for (const name of ["ada", "bob"]) {
        await stand.socket.withSession(({ session }) => {
          session!.user = name;
        });
      }
    });
    assertEquals(warnings.length, 1);
    assertMatch(warnings[0]!, /Log in over HTTP/);
    assert(warnings[0]!.startsWith("[koa-io-session]"));
  });
});
