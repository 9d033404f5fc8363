/** What a change of user does to ids, events and sockets, whatever way it is made and whatever `onUserChange` says. */
import { assert, assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { TestContext, TestSession } from "../support/app.ts";
import { native } from "../support/app.ts";
import type { Answer, Browser } from "../support/browser.ts";
import { KEY } from "../support/cookies.ts";
import { startScenario } from "../support/scenario.ts";
import { closeServers } from "../support/server.ts";
import { Tab } from "../support/tabs.ts";
import { collect } from "../support/wait.ts";

const MODES = ["reconnect", "follow", "keep"] as const;
type Mode = typeof MODES[number];

/** A change of user: what is stored before it, and how a session is changed. */
interface Change {
  readonly from: string | undefined;
  readonly to: string | undefined;
  apply(session: TestSession): void;
}

const LOGIN: Change = {
  from: undefined,
  to: "ada",
  apply: (session) => void (session.passport = { user: "ada" }),
};
const CHANGES: Record<string, Change> = {
  login: LOGIN,
  "logout, as passport's": {
    from: "ada",
    to: undefined,
    apply: (session) => void delete (session.passport as TestSession).user,
  },
  switch: {
    from: "ada",
    to: "bob",
    apply: (session) => void (session.passport = { user: "bob" }),
  },
};

/** A way to change a session in a request that can send cookies. */
type Way = (ctx: TestContext, { apply }: Change) => unknown;

const WAYS: Record<string, Way> = {
  "plain assignment": (ctx, { apply }) => apply(ctx.session!),
  "an assigned session": (ctx, { apply }) => {
    const session = structuredClone(native(ctx).toJSON());
    apply(session);
    ctx.session = session as never;
  },
  "regenerate() and assignment": async (ctx, { apply }) => {
    await native(ctx).regenerate();
    apply(ctx.session!);
  },
  "assignment, save() and regenerate()": async (ctx, { apply }) => {
    apply(ctx.session!);
    await native(ctx).save();
    await native(ctx).regenerate();
  },
  "regenerate(), assignment and save()": async (ctx, { apply }) => {
    await native(ctx).regenerate();
    apply(ctx.session!);
    await native(ctx).save();
    ctx.session!.later = true;
  },
  "ctx.withSession": async (ctx, { apply }) => {
    await ctx.withSession(({ session }) => apply(session!));
  },
  "save()": async (ctx, { apply }) => {
    apply(ctx.session!);
    await native(ctx).save();
    ctx.session!.later = true;
  },
  "manuallyCommit()": async (ctx, { apply }) => {
    apply(ctx.session!);
    await native(ctx).manuallyCommit();
  },
};

/** The ways that ask for a new id themselves. */
const regenerates = (way: string) => way.includes("regenerate()");

const user = (session: TestSession) =>
  (session.passport as TestSession | undefined)?.user;

/** Starts a server, a browser with a session of a user and two tabs of it, and a tab of another browser. */
async function scene(mode: Mode, from: string | undefined) {
  const scenario = await startScenario({ user, onUserChange: mode });
  const other = await scenario.visit({ passport: { user: "ada" } });
  const stranger = await Tab.open(other.browser);
  const session = from === undefined ? {} : { passport: { user: from } };
  const { browser, sessionId, clientId } = await scenario.visit({
    n: 1,
    ...session,
  });
  const tabs = [await Tab.open(browser), await Tab.open(browser)];
  for (const tab of tabs) await tab.isIn(sessionId);
  const events: unknown[] = [];
  for (const name of ["sessionStart", "sessionEnd", "userChange"] as const) {
    scenario.bridge.on(name, (event: object) => events.push([name, event]));
  }
  return {
    ...scenario,
    browser,
    sessionId,
    clientId,
    tabs,
    events,
    async untouched() {
      assertEquals(stranger.notices, []);
      assert(stranger.client.connected);
      await stranger.isIn(other.sessionId);
    },
  };
}

/** The ids that a browser has at present. */
async function idsOf(browser: Browser) {
  const { json } = await browser.get("/");
  return json as { sessionId?: string; clientId: string };
}

/** The values that an answer gives to the session cookie. */
function idsSent({ setCookies }: Answer): string[] {
  return setCookies.filter(({ name }) => name === KEY)
    .map(({ value }) => value);
}

/** Registers `disconnect` of tabs: why each connection was lost. */
function losses(tabs: readonly Tab[]): unknown[][][] {
  return tabs.map(({ client }) => collect(client, "disconnect"));
}

for (const mode of MODES) {
  describe(`onUserChange: "${mode}"`, () => {
    afterEach(closeServers);

    for (const [name, change] of Object.entries(CHANGES)) {
      for (const [way, act] of Object.entries(WAYS)) {
        it(`${name}, by ${way}`, async () => {
          const stand = await scene(mode, change.from);
          const { browser, tabs, events, sessionId: before, clientId } = stand;
          stand.route("/change", (ctx) => act(ctx, change));
          const lost = losses(tabs);
          const answer = await browser.get("/change");
          assertEquals(answer.status, 200, String(stand.errors[0]));

          const { sessionId, clientId: clientAfter } = await idsOf(browser);
          const renews = mode !== "keep" || regenerates(way);
          assertEquals(sessionId !== before, renews);
          assertEquals(clientAfter, clientId);
          if (renews) assertEquals(idsSent(answer), [sessionId!]);
          for (const tab of tabs) await tab.isIn(sessionId);
          assertEquals(
            lost.map((reasons) => reasons.length),
            mode === "reconnect" ? [1, 1] : [0, 0],
          );
          if (mode === "reconnect") {
            assertEquals(lost.flat().map(([why]) => why), [
              "transport close",
              "transport close",
            ]);
          }
          expectEvents(stand, mode, change, sessionId!, renews);
          expectNotices(tabs, mode, change, renews);
          const data = await stand.peek(sessionId!);
          assertEquals(user(data!), change.to);
          assertEquals(data!.n, 1);
          if (renews) assertEquals(await stand.peek(before), undefined);
          assertEquals(events.length, renews ? 3 : 1);
          await stand.untouched();
        });
      }
    }
  });
}

type Scene = Awaited<ReturnType<typeof scene>>;

function expectEvents(
  { events, sessionId: before, clientId }: Scene,
  mode: Mode,
  { from, to }: Change,
  sessionId: string,
  renews: boolean,
): void {
  const local = true;
  // without a new id by itself, `regenerate()` before the change is a rotation
  const reason = from === undefined ? "rotated" : "logout";
  if (!renews) {
    const ids = "kept";
    assertEquals(events, [
      ["userChange", { sessionId, clientId, from, to, ids, local }],
    ]);
    return;
  }
  if (mode === "keep") {
    assertEquals(
      events.map((event) => (event as string[])[0]).sort(),
      ["sessionEnd", "sessionStart", "userChange"],
    );
    return;
  }
  const cause = "rotated";
  const ids = "new";
  assertEquals(events, [
    ["sessionEnd", { clientId, sessionId: before, reason, local }],
    ["sessionStart", { clientId, sessionId, cause, local }],
    ["userChange", {
      sessionId,
      clientId,
      previousSessionId: before,
      from,
      to,
      ids,
      local,
    }],
  ]);
}

function expectNotices(
  tabs: readonly Tab[],
  mode: Mode,
  { from }: Change,
  renews: boolean,
): void {
  for (const { notices } of tabs) {
    const last = notices.at(-1);
    if (!renews) assertEquals(notices, []);
    else if (mode !== "reconnect") {
      assertEquals(last, ["session:rotated", { sockets: "follow" }]);
    } else if (from === undefined) {
      assertEquals(last, ["session:rotated", { sockets: "reconnect" }]);
    } else assertEquals(last, ["session:end", { reason: "logout" }]);
  }
}
