/** Attacks with cookies that were planted in a browser before a login, or copied from it. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  serverSocketOf,
  type TestContext,
  type TestSession,
} from "../support/app.ts";
import { mentionsSession } from "../support/browser.ts";
import {
  CLIENT_KEY,
  type CookieJar,
  KEY,
  signCookie,
  SIGNING_KEY,
} from "../support/cookies.ts";
import { codeOf } from "../support/errors.ts";
import { onEachDeployment } from "../support/identity/deployments.ts";
import { pair } from "../support/identity/jars.ts";
import {
  closings,
  entered,
  handshake,
  openTab,
  whoami,
} from "../support/identity/tabs.ts";
import type { Visitor, World } from "../support/identity/world.ts";
import type { TestOptions } from "../support/server.ts";
import { deferred, until } from "../support/wait.ts";

const user = (session: TestSession) => session.user;

/** The two logins that shut planted cookies out. */
const LOGINS: Record<
  string,
  { options: TestOptions; login: (ctx: TestContext) => unknown }
> = {
  "with the option user": {
    options: { user },
    login: (ctx) => {
      ctx.session!.user = "ada";
      ctx.session!.secret = "ada's";
    },
  },
  "with regenerateSession": {
    options: {},
    login: async (ctx) => {
      ctx.session!.user = "ada";
      ctx.session!.secret = "ada's";
      await ctx.regenerateSession({ sockets: "reconnect" });
    },
  },
};

/** The session of the user. */
const OWN = { cart: 1, user: "ada", secret: "ada's" };

/** A browser whose cookies are copies of the attacker's, and the attacker's. */
async function plant(
  world: World,
  login: (ctx: TestContext) => unknown,
): Promise<{ ada: Visitor; mallory: Visitor }> {
  world.route("/login", login);
  const mallory = world.visitor();
  await mallory.here.post("/session", { json: { cart: 1 } });
  await mallory.here.get("/");
  return { ada: world.visitor(mallory.jar.clone()), mallory };
}

/** The user is logged in at both nodes, and a socket of the browser is in the session. */
async function assertSafe(world: World, ada: Visitor): Promise<void> {
  const sessionId = ada.jar.get(KEY);
  for (const browser of [ada.here, ada.there]) {
    const { json } = await browser.get("/session");
    assertEquals(json.session, OWN);
    assertEquals((await handshake(browser)).sessionId, sessionId);
  }
  assertEquals(ada.jar.get(KEY), sessionId);
  assertEquals(await world.peek(sessionId), OWN);
}

/** Cookies that open no session, over HTTP and in a handshake. */
async function assertShutOut(
  visitor: Visitor,
  jar: CookieJar = visitor.jar,
): Promise<void> {
  for (const browser of [visitor.here, visitor.there]) {
    const answer = await browser.get("/session", { jar, keep: false });
    assertEquals(answer.json.session, {});
    assertEquals(answer.json.sessionId, undefined);
    assertEquals(mentionsSession(answer), false);
    const socket = await browser.connect("/", { jar });
    assertEquals((await whoami(browser, socket)).sessionId, undefined);
    assertEquals((await browser.ask(socket, "get")).code, "SESSION_MISSING");
    socket.disconnect();
  }
}

for (const [how, { options, login }] of Object.entries(LOGINS)) {
  onEachDeployment(`planted cookies and a login ${how}`, ({ start, it }) => {
    it("open nothing, over HTTP and in a handshake, in any pair", async () => {
      const world = await start(options);
      const { ada, mallory } = await plant(world, login);
      await ada.here.post("/login");
      assertNotEquals(ada.jar.get(KEY), mallory.jar.get(KEY));
      const stranger = world.visitor();
      await stranger.here.get("/");
      for (const client of [mallory.jar, ada.jar, stranger.jar, undefined]) {
        await assertShutOut(mallory, pair(mallory.jar, client));
      }
      await assertShutOut(mallory, pair(undefined, ada.jar));
      await assertSafe(world, ada);
    });

    for (const attack of ["writes", "sets null", "reads"] as const) {
      it(`do not reach the session by a request whose body is slower than the login: it ${attack}`, async () => {
        const world = await start(options);
        const { ada, mallory } = await plant(world, login);
        const request = await world.trickle(
          mallory.there,
          async (ctx, body) => {
            if (attack === "writes") Object.assign(ctx.session!, body);
            if (attack === "sets null") ctx.session = null;
            if (attack !== "reads") return;
            return {
              plain: ctx.session,
              inside: await ctx.withSession(
                ({ session }) => session,
                () => "missing",
              ),
            };
          },
          { returnTo: "https://mallory.example" },
        );
        await ada.here.post("/login");
        const answer = await request.finish();
        assertEquals(mentionsSession(answer), false);
        if (attack === "writes") await world.conflicted(1);
        if (attack === "reads") {
          assertEquals(answer.json, { plain: { cart: 1 }, inside: "missing" });
        }
        await assertSafe(world, ada);
        await assertShutOut(mallory);
      });
    }

    it("do not reach the session by a socket's call that waits for the login", async () => {
      const world = await start(options);
      const { ada, mallory } = await plant(world, login);
      const planted = await openTab(mallory.there, { jar: mallory.jar });
      const closed = closings(planted);
      const inside = deferred();
      const gate = deferred();
      world.route("/login", (ctx) =>
        ctx.withSession(async ({ session }) => {
          inside.resolve();
          await gate.promise;
          Object.assign(session, { user: "ada", secret: "ada's" });
          if (!options.user) {
            await ctx.regenerateSession({ sockets: "reconnect" });
          }
        }));
      const socket = serverSocketOf(world.there.io, planted);
      const logging = ada.here.post("/login");
      await inside.promise;
      const calls = [
        socket.withSession(({ session }) => session, () => "missing"),
        socket.withSession((sessionCtx) => {
          sessionCtx.session = null;
        }, () => "missing"),
      ];
      for (let i = 0; i < 3; i++) await world.peek(mallory.jar.get(KEY));
      gate.resolve();
      assertEquals((await logging).status, 200);
      assertEquals(await Promise.all(calls), ["missing", "missing"]);
      await until(() => closed.count === 1, "the closing");
      await assertSafe(world, ada);
      await entered(mallory.there, planted, undefined);
      await assertShutOut(mallory);
    });

    it("do not reach the session by a socket's call that the login overtakes", async () => {
      const world = await start({ ...options, lockTimeout: 200 });
      const { ada, mallory } = await plant(world, login);
      const planted = await mallory.there.connect();
      const socket = serverSocketOf(world.there.io, planted);
      const inside = deferred();
      const gate = deferred();
      let seen: unknown;
      const code = codeOf(socket.withSession(async (sessionCtx) => {
        inside.resolve();
        await gate.promise;
        seen = sessionCtx.session;
        sessionCtx.session = null;
      }));
      await inside.promise;
      await until(
        async () => (await ada.here.post("/login")).status === 200,
        "the login",
      );
      gate.resolve();
      assertEquals(await code, "SESSION_ENDED");
      assertEquals(seen, { cart: 1 });
      await assertSafe(world, ada);
    });

    it("do not reach the session by a guest's socket with the client cookie", async () => {
      const world = await start(options);
      world.route("/login", login);
      const mallory = world.visitor();
      await mallory.here.get("/");
      const ada = world.visitor(mallory.jar.clone());
      const planted = await openTab(mallory.there, { jar: mallory.jar });
      const received = mallory.there.received(planted);
      await ada.here.post("/session", { json: { cart: 1 } });
      await ada.here.post("/login");
      await assertSafe(world, ada);
      await entered(mallory.there, planted, undefined);
      const answer = await mallory.there.ask(planted, "get");
      assertEquals(answer.code, "SESSION_MISSING");
      assert(!received.some(([event]) => event.startsWith("session:view")));
      await assertShutOut(mallory);
      // and not by its next login either
      await ada.here.post("/logout");
      await ada.here.post("/session", { json: { cart: 1 } });
      await ada.here.post("/login");
      await entered(mallory.there, planted, undefined);
      await assertSafe(world, ada);
    });

    it("do not reach the session by a client cookie that precedes the browser's own in every request", async () => {
      const world = await start(options);
      world.route("/login", login);
      const mallory = world.visitor();
      const tossed = (await mallory.here.get("/")).json.clientId;
      const prefix = `${CLIENT_KEY}=${tossed}; ${CLIENT_KEY}.sig=${
        signCookie(CLIENT_KEY, tossed, SIGNING_KEY)
      }; `;
      const planted = await openTab(mallory.there, { jar: mallory.jar });
      const ada = world.visitor();
      const headers = () => ({ cookie: prefix + ada.jar.header(ada.here.url) });
      await ada.here.post("/session", {
        json: { cart: 1 },
        headers: headers(),
      });
      await ada.here.post("/login", { headers: headers() });
      // and she is not shut out of her own session
      for (let i = 0; i < 3; i++) {
        for (const browser of [ada.here, ada.there]) {
          const answer = await browser.get("/session", { headers: headers() });
          assertEquals(answer.json.session, OWN);
          const socket = await browser.connect("/", { headers: headers() });
          assertEquals(await browser.ask(socket, "get"), OWN);
        }
      }
      await entered(mallory.there, planted, undefined);
      assertEquals(
        (await mallory.there.ask(planted, "get")).code,
        "SESSION_MISSING",
      );
      await assertShutOut(mallory);
    });

    it("that are copies open nothing after the logout, nor after the next login", async () => {
      const world = await start(options);
      const { ada } = await plant(world, login);
      await ada.here.post("/login");
      await ada.here.get("/");
      const copy = world.visitor(ada.jar.clone());
      assertEquals((await copy.there.get("/session")).json.session, OWN);
      const thief = await openTab(copy.there);
      await entered(copy.there, thief, ada.jar.get(KEY));
      await ada.here.post("/logout");
      await entered(copy.there, thief, undefined);
      await assertShutOut(copy);
      await ada.here.post("/session", { json: { cart: 1 } });
      await ada.here.post("/login");
      await assertSafe(world, ada);
      await entered(copy.there, thief, undefined);
      assertEquals(
        (await copy.there.ask(thief, "get")).code,
        "SESSION_MISSING",
      );
      for (const client of [copy.jar, ada.jar, undefined]) {
        await assertShutOut(copy, pair(copy.jar, client));
      }
    });
  });
}
