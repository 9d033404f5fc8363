/** When the connections of a client are closed whose user changed, and that they come back. */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { describe, it as test } from "@std/testing/bdd";
import { type IncomingMessage, request } from "node:http";
import { PassThrough } from "node:stream";
import { native, serverSocketOf } from "../support/app.ts";
import type { Browser } from "../support/browser.ts";
import { parseSetCookie } from "../support/cookies.ts";
import { openPolling, poll } from "../support/polling.ts";
import { sessionEvents } from "../support/routes.ts";
import type { ScenarioContext } from "../support/scenario.ts";
import { clearingIntervals } from "../support/intervals.ts";
import { closeServers, type ServerConfig } from "../support/server.ts";
import { type TabScene, tabScene } from "../support/tab_scene.ts";
import { Tab } from "../support/tabs.ts";
import { deferred, once, pause, settles, until } from "../support/wait.ts";

/** A test; recovery never clears its intervals. */
const it = (name: string, act: () => Promise<void>) =>
  test(name, () =>
    clearingIntervals(async () => {
      try {
        await act();
      } finally {
        await closeServers();
      }
    }));

const NAMESPACES = ["/chat", "/room-1"];

/** Two more namespaces, of which one is dynamic. */
const config: ServerConfig = {
  io: { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } },
  prepare: ({ io }) => {
    sessionEvents(io.of("/chat"));
    sessionEvents(io.of(/^\/room-\d$/));
  },
};

/** Sends a request as a browser does, which keeps cookies as soon as the headers are there. */
function send(browser: Browser, path: string) {
  const { jar, url } = browser;
  const call = request(url + path, {
    agent: false,
    headers: { cookie: jar.header(url) },
  });
  const headers = new Promise<IncomingMessage>((resolve, reject) => {
    call.on("error", reject);
    call.on("response", (answer) => {
      jar.apply((answer.headers["set-cookie"] ?? []).map(parseSetCookie), url);
      resolve(answer);
    });
  });
  const settled = settles(headers, path);
  settled.catch(() => {});
  call.end();
  return { call, headers: settled };
}

const logIn = async (ctx: ScenarioContext): Promise<string> => {
  ctx.session!.user = "ada";
  await native(ctx as never).save();
  return ctx.sessionId!;
};

/** The disconnections of all tabs. */
const closed = ({ tabs }: TabScene) =>
  Promise.all(tabs.map(({ client }) => once(client, "disconnect")));

const connected = ({ tabs }: TabScene) =>
  tabs.map(({ client }) => client.connected);

describe("the connections of a client whose user changed", () => {
  it("are closed once the headers are written, while the body is being sent", async () => {
    const scene = await tabScene({ n: 1 }, {}, config);
    const committed = deferred();
    const goOn = deferred();
    const body = new PassThrough();
    let sessionId: string | undefined;
    scene.route("/in", async (ctx) => {
      sessionId = await logIn(ctx);
      committed.resolve();
      await goOn.promise;
      return body;
    });
    const { headers } = send(scene.browser, "/in");
    await committed.promise;
    for (const tab of scene.tabs) {
      assertEquals((await tab.whoami()).sessionId, undefined);
      assertEquals(tab.notices, [
        ["session:rotated", { sockets: "reconnect" }],
      ]);
    }
    assertEquals(connected(scene), [true, true]);
    const closing = closed(scene);
    goOn.resolve();
    body.write("begin");
    const answer = await headers;
    for (const [why] of await closing) assertEquals(why, "transport close");
    for (const tab of scene.tabs) await tab.isIn(sessionId);
    assertEquals(answer.complete, false);
    body.end("end");
    answer.resume();
    await once(answer, "end");
  });

  it("are closed when the request is aborted, and come back as guests to be healed", async () => {
    const scene = await tabScene({ n: 1 }, {}, config);
    const { stand, browser } = scene;
    const committed = deferred();
    const goOn = deferred();
    let sessionId: string | undefined;
    scene.route("/in", async (ctx) => {
      sessionId = await logIn(ctx);
      committed.resolve();
      await goOn.promise;
    });
    const { call, headers } = send(browser, "/in");
    await committed.promise;
    const closing = closed(scene);
    call.destroy();
    await headers.catch(() => {});
    await closing;
    goOn.resolve();
    // its cookie has not arrived: the old one opens nothing
    for (const tab of scene.tabs) await tab.isIn(undefined);
    assertEquals((await browser.get("/")).json.sessionId, undefined);
    assert(await stand.peek(sessionId!));
  });

  it("are closed 2 s after the handler where no headers are written", async () => {
    const scene = await tabScene({ n: 1 }, {}, config);
    const returned = deferred<number>();
    const goOn = deferred();
    const committed = deferred();
    let res: ScenarioContext["res"] | undefined;
    scene.route("/in", async (ctx) => {
      await logIn(ctx);
      committed.resolve();
      await goOn.promise;
      (ctx as unknown as { respond: boolean }).respond = false;
      res = ctx.res;
      returned.resolve(Date.now());
    });
    const { headers } = send(scene.browser, "/in");
    await committed.promise;
    await pause(2_200);
    assertEquals(connected(scene), [true, true]);
    const closing = closed(scene);
    goOn.resolve();
    const since = await returned.promise;
    await closing;
    assertGreater(Date.now() - since, 1_900);
    assertLess(Date.now() - since, 4_000);
    res!.end("late");
    (await headers).resume();
  });

  it("are closed after headers that an error makes", async () => {
    const scene = await tabScene({ n: 1 }, {}, config);
    scene.route("/in", async (ctx) => {
      await logIn(ctx);
      ctx.throw(418);
    });
    const closing = closed(scene);
    const answer = await scene.browser.get("/in");
    assertEquals(answer.status, 418);
    await closing;
  });

  for (const transport of ["polling", "websocket"] as const) {
    it(`come back over ${transport}, with every namespace, and are not recovered`, async () => {
      const scene = await tabScene({ n: 1 }, {}, config);
      const { stand, browser, bridge } = scene;
      const options = { transports: [transport] };
      const tab = await Tab.open(browser, options);
      const more = [];
      for (const name of NAMESPACES) more.push(await tab.also(name));
      const all = [tab, ...more];
      // without an offset there is nothing to recover
      for (const name of ["/", ...NAMESPACES]) stand.io.of(name).emit("first");
      for (const it of all) await browser.event(it.client, "first");
      const before = all.map(({ client }) => client.id);
      const other = await stand.visit({ user: "eve" });
      const stranger = await Tab.open(other.browser, options);

      for (const [path, user] of [["/in", "ada"], ["/out", undefined]]) {
        scene.route(path!, (ctx) => void Object.assign(ctx.session!, { user }));
        await browser.get(path!);
        const { sessionId } = (await browser.get("/")).json;
        for (const it of all) await it.isIn(sessionId);
        for (const { client } of all) assertEquals(client.recovered, false);
        bridge.toSession(sessionId).emit(`to ${user}`);
        bridge.toSession(sessionId, "/chat").emit(`to ${user}`);
        await browser.event(tab.client, `to ${user}`);
        await browser.event(more[0]!.client, `to ${user}`);
      }
      const after = all.map(({ client }) => client.id);
      for (const id of before) assert(!after.includes(id));
      assertEquals(stranger.notices, []);
      await stranger.isIn(other.sessionId);
    });
  }

  it("are not recovered even by those who keep what the client had: members, guests, other namespaces", async () => {
    const scene = await tabScene({ n: 1 }, {}, config);
    const { stand, browser, tabs, io } = scene;
    const more = await tabs[0]!.also("/chat");
    // the client cookie alone: a guest of the same client
    const jar = browser.jar.clone();
    jar.delete("test.sid");
    const guest = await Tab.open(stand.browser(jar));
    await guest.isIn(undefined);
    for (const name of ["/", "/chat"]) io.of(name).emit("first");
    const all = [...tabs, more, guest];
    for (const it of all) await it.browser.event(it.client, "first");
    const tickets = all.map(({ client }) => {
      const { _pid: pid, _lastOffset: offset } = client as unknown as Record<
        string,
        string
      >;
      assert(pid && offset);
      return { pid, offset };
    });
    const lost = all.map(({ client }) => once(client, "disconnect"));
    scene.route("/in", (ctx) => void (ctx.session!.user = "ada"));
    await browser.get("/in");
    await Promise.all(lost);
    io.emit("secret");
    for (const auth of tickets) {
      const thief = stand.browser();
      const client = await thief.connect("/", { auth });
      assertEquals(client.recovered, false);
      assertEquals(await thief.ask(client, "whoami"), {});
    }
  });

  it("control: a connection that is only lost is recovered", async () => {
    const scene = await tabScene({ user: "ada" }, {}, config);
    const [tab] = scene.tabs as [Tab];
    scene.io.emit("first");
    await scene.browser.event(tab.client, "first");
    const back = once(tab.client, "connect");
    tab.client.io.engine.close();
    await back;
    assertEquals(tab.client.recovered, true);
    await tab.isIn(scene.sessionId);
  });

  it("wait for a poll no longer than 1 s, though the client closes them meanwhile", async () => {
    const scene = await tabScene({ user: "ada" }, {}, config);
    const { browser, stand } = scene;
    const headers = { cookie: browser.jar.header(browser.url) };
    const sid = await openPolling(browser.url, headers);
    const to = { query: { sid }, headers };
    await poll(browser.url, { ...to, method: "POST", body: "40" });
    await poll(browser.url, to);
    const { clients } = stand.io.engine as unknown as {
      clients: Record<string, { transport: { shouldClose?: unknown } }>;
    };
    const { transport } = clients[sid]!;
    const told = poll(browser.url, to);
    scene.route("/out", async (ctx) => {
      delete ctx.session!.user;
      await native(ctx as never).save();
      // takes the news, so that no poll is open at the close
      await told;
    });
    await browser.get("/out");
    await until(() => !!transport.shouldClose, "the wait for a poll");
    await poll(browser.url, { ...to, method: "POST", body: "1" });
    assertEquals(clients[sid], undefined);
    await until(() => !transport.shouldClose, "the end of the wait");
  });

  it("of other clients of the same user stay as they are", async () => {
    const scene = await tabScene({ user: "ada" }, {}, config);
    const phone = await scene.stand.visit({ user: "ada" });
    const onPhone = await Tab.open(phone.browser);
    scene.route("/out", (ctx) => void delete ctx.session!.user);
    const closing = closed(scene);
    await scene.browser.get("/out");
    await closing;
    assertEquals(onPhone.notices, []);
    await onPhone.isIn(phone.sessionId);
    assertEquals((await scene.bridge.sessionsOf("ada")).length, 1);
  });

  it("come back although a tab was opened before its browser had the cookie", async () => {
    const scene = await tabScene(null, {}, config);
    const { browser, stand } = scene;
    const lines = deferred();
    const goOn = deferred();
    scene.route("/in", async (ctx) => {
      await logIn(ctx);
      lines.resolve();
      await goOn.promise;
    });
    const answered = browser.get("/in");
    await lines.promise;
    const early = await Tab.open(browser);
    await early.isIn(undefined);
    goOn.resolve();
    await answered;
    const { sessionId } = (await browser.get("/")).json;
    await early.isIn(sessionId);
    assertEquals(early.client.recovered, false);
    assert(serverSocketOf(stand.io, early.client).sessionId);
  });
});
