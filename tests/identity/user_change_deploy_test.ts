/** The option `user` turned on, or changed, at a deploy; and sockets that reconnect without the option. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SessionStore } from "@koa-io/session";
import type { TestSession } from "../support/app.ts";
import type { CookieJar } from "../support/cookies.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { storesOf } from "../support/redis/stores.ts";
import { type Scenario, startScenario } from "../support/scenario.ts";
import { closeServers, type TestOptions } from "../support/server.ts";
import { HAS_SQLITE, withSqlite } from "../support/sqlite.ts";
import { tabScene } from "../support/tab_scene.ts";
import { Tab } from "../support/tabs.ts";
import { collect } from "../support/wait.ts";

/** Opens the store as each deploy does, and closes it. */
interface Deploys {
  open(): Promise<NonNullable<TestOptions["store"]>>;
  closeStore(store: unknown): Promise<void>;
}

const user = ({ user }: TestSession) => user;

/** Deploys a program without the option, then one with it, on the same store. */
async function turnsOn(
  { open, closeStore }: Deploys,
  before: TestOptions,
  after: TestOptions,
): Promise<void> {
  const former = await open();
  const first = await startScenario({ store: former, ...before });
  const jars: CookieJar[] = [];
  const ids: string[] = [];
  for (const name of ["ada", "ada", undefined]) {
    const session: TestSession = { n: 0, team: "red" };
    if (name !== undefined) session.user = name;
    const { browser, sessionId } = await first.visit(session);
    jars.push(browser.jar);
    ids.push(sessionId);
  }
  await first.close();
  await closeStore(former);

  const store = await open();
  const second = await startScenario({ store, ...after });
  const changes = collect(second.bridge, "userChange");
  const ends = collect(second.bridge, "sessionEnd");
  const browsers = jars.map((jar) => second.browser(jar));
  const tabs: Tab[] = [];
  for (const browser of browsers) tabs.push(await Tab.open(browser));
  const lost = tabs.map(({ client }) => collect(client, "disconnect"));
  for (let n = 1; n <= 2; n++) {
    for (const [i, browser] of browsers.entries()) {
      await browser.post("/session", { json: { n } });
      await tabs[i]!.isIn(ids[i]);
      await browser.ask(tabs[i]!.client, "merge", { more: n });
      const { session, sessionId } = (await browser.get("/session")).json;
      assertEquals(sessionId, ids[i]);
      assertEquals([session.n, session.more], [n, n]);
    }
  }
  assertEquals(lost, [[], [], []]);
  assertEquals([changes, ends], [[], []]);
  for (const tab of tabs) assertEquals(tab.notices, []);

  await findsThem(second, tabs);
  await second.close();
  await closeStore(store);
}

async function findsThem(
  { bridge }: Scenario,
  tabs: readonly Tab[],
): Promise<void> {
  assertEquals((await bridge.sessionsOf("ada")).length, 2);
  bridge.toUser("ada").emit("for ada");
  for (const tab of tabs.slice(0, 2)) {
    await tab.browser.event(tab.client, "for ada");
  }
  assertEquals(await bridge.destroyUser("ada"), 2);
  for (const tab of tabs.slice(0, 2)) await tab.isIn(undefined);
  assert((await tabs[2]!.whoami()).sessionId);
}

function bothWays(
  define: (name: string, body: () => Promise<void>) => void,
  deploys: () => Deploys,
): void {
  define(
    "logs out and reconnects nobody when user is turned on",
    () => turnsOn(deploys(), {}, { user }),
  );
  define(
    "logs out and reconnects nobody when user means another key",
    () => turnsOn(deploys(), { user: ({ team }) => team as string }, { user }),
  );
}

describe("a deploy, on SqliteStore", () => {
  withSqlite(({ SqliteStore }) => {
    bothWays((name, body) => it(name, body), () => {
      const dir = mkdtempSync(join(tmpdir(), "koa-io-"));
      let opened = 0;
      return {
        open: () => {
          opened++;
          return Promise.resolve(
            new SqliteStore({ path: join(dir, "sessions.db") }),
          );
        },
        closeStore: async (store) => {
          await (store as SessionStore).close();
          if (opened === 2) rmSync(dir, { recursive: true });
        },
      };
    });
  });
  if (!HAS_SQLITE) it("is tested where there is node:sqlite", () => {});
});

describe("a deploy, on RedisStore", () => {
  let server: RedisServer;
  withRedisServer((started) => server = started);

  bothWays(itNeedsRedis, () => {
    const stores = storesOf("redis");
    let closed = 0;
    return {
      open: () => stores.open(server.port),
      closeStore: async () => {
        if (++closed === 2) await stores.close();
      },
    };
  });
});

describe('regenerateSession({ sockets: "reconnect" }) without the option user', () => {
  afterEach(closeServers);

  it("gives new ids, makes the tabs come back, and leaves out what was planted", async () => {
    const scene = await tabScene({ n: 1 }, { user: undefined });
    const { browser, stand, tabs, sessionId: before, clientId } = scene;
    const eve = stand.browser(browser.jar.clone());
    const spy = await Tab.open(eve);
    await spy.isIn(before);
    // the client cookie alone would enter the next session
    const planted = browser.jar.clone();
    planted.delete("test.sid");
    const guest = await Tab.open(stand.browser(planted));
    scene.route("/in", async (ctx) => {
      ctx.session!.user = "ada";
      await ctx.regenerateSession({ sockets: "reconnect" });
    });
    await browser.get("/in");
    const after = (await browser.get("/")).json;
    assertNotEquals(after.sessionId, before);
    assertNotEquals(after.clientId, clientId);
    for (const tab of tabs) {
      await tab.isIn(after.sessionId);
      assertEquals(tab.notices[0], [
        "session:rotated",
        { sockets: "reconnect" },
      ]);
    }
    for (const outside of [spy, guest]) await outside.isIn(undefined);
    assertEquals((await eve.get("/")).json.sessionId, undefined);
    assertEquals(
      scene.events.map(([name, { reason, cause }]) => [
        name,
        reason ?? cause,
      ]),
      [["sessionEnd", "rotated"], ["sessionStart", "rotated"]],
    );
  });

  it("does the same by hand where user is set and nothing of it changes", async () => {
    const scene = await tabScene({ user: "ada" }, { onUserChange: "keep" });
    const { browser, tabs } = scene;
    scene.route(
      "/anew",
      (ctx) => ctx.regenerateSession({ sockets: "reconnect" }),
    );
    const lost = tabs.map((tab) => collect(tab.client, "disconnect"));
    await browser.get("/anew");
    const { sessionId } = (await browser.get("/")).json;
    for (const tab of tabs) await tab.isIn(sessionId);
    assertEquals(lost.map((reasons) => reasons.length), [1, 1]);
    assertEquals(scene.events.length, 2);
  });
});
