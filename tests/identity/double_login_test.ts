/** Logins that are sent twice, or at once: rule 5 of "Which session a client has". */
import { assert, assertEquals } from "@std/assert";
import type { TestContext, TestSession } from "../support/app.ts";
import { type Answer, mentionsSession } from "../support/browser.ts";
import { KEY } from "../support/cookies.ts";
import { codeOf } from "../support/errors.ts";
import {
  type Deployment,
  onEachDeployment,
} from "../support/identity/deployments.ts";
import {
  laterOn,
  type Visitor,
  type World,
} from "../support/identity/world.ts";
import type { TestOptions } from "../support/server.ts";

const user = (session: TestSession) => session.user;

const MODES: Record<string, TestOptions> = {
  "without user": {},
  "with reconnect": { user },
  "with follow": { user, onUserChange: "follow" },
  "with keep": { user, onUserChange: "keep" },
};

/** Logs a user in; as passport does, the session is regenerated first. */
const LOGINS: Record<string, (name: string, ctx: TestContext) => unknown> = {
  "an assignment": (name, ctx) => {
    ctx.session!.user = name;
  },
  "regenerate()": async (name, ctx) => {
    await ctx.regenerateSession();
    ctx.session!.user = name;
  },
};

/** Two requests of one browser under way at once, the first for ada, the second for `second`. */
async function loginTwice(
  world: World,
  ada: Visitor,
  second: string,
  login: (name: string, ctx: TestContext) => unknown,
  lastFirst: boolean,
): Promise<Answer[]> {
  const one = await world.hold(ada.here, (ctx) => login("ada", ctx));
  const two = await world.hold(ada.there, (ctx) => login(second, ctx));
  const answers: Answer[] = [];
  for (const request of lastFirst ? [two, one] : [one, two]) {
    answers.push(await request.finish());
  }
  return answers;
}

/** The browser is logged in as this user, with the one live session of its client. */
async function assertLoggedIn(
  world: World,
  visitor: Visitor,
  name: string,
): Promise<void> {
  for (const browser of [visitor.here, visitor.there]) {
    const { session, sessionId, clientId } =
      (await browser.get("/session")).json;
    assertEquals(session.user, name);
    assertEquals(sessionId, visitor.jar.get(KEY));
    assertEquals(
      await world.here.bridge.sessionIdOf(clientId),
      sessionId,
    );
  }
}

/** A browser with a client cookie, and a guest's session if it is to have one. */
async function arrive(world: World, hasSession: boolean): Promise<Visitor> {
  const ada = world.visitor();
  await ada.here.get("/");
  if (!hasSession) return ada;
  await ada.here.post("/session", { json: { cart: 1 } });
  await ada.here.get("/");
  return ada;
}

/** Registers a test for each way in which a login is made, and each state of the browser before it. */
function eachLogin(
  { it }: Deployment,
  name: string,
  body: (
    options: TestOptions,
    login: (name: string, ctx: TestContext) => unknown,
    how: { hasSession: boolean; lastFirst: boolean; mode: string },
  ) => Promise<void>,
): void {
  for (const [mode, options] of Object.entries(MODES)) {
    for (const [how, login] of Object.entries(LOGINS)) {
      for (const hasSession of [false, true]) {
        for (const lastFirst of [false, true]) {
          const before = hasSession ? "from a guest's session" : "from none";
          const order = lastFirst ? ", committed in reverse" : "";
          it(`${name}, ${mode}, by ${how}, ${before}${order}`, () =>
            body(options, login, { hasSession, lastFirst, mode }));
        }
      }
    }
  }
}

onEachDeployment("a login", (deployment) => {
  const { start, it } = deployment;

  eachLogin(
    deployment,
    "sent twice by a double click leaves the user logged in",
    async (options, login, { hasSession, lastFirst }) => {
      const world = await start(options);
      const ada = await arrive(world, hasSession);
      const answers = await loginTwice(world, ada, "ada", login, lastFirst);
      // the regenerate() of a request without a session rejects where a later login stands
      const early = lastFirst && !hasSession && login === LOGINS["regenerate()"]
        ? 409
        : 200;
      assertEquals(answers.map(({ status }) => status), [200, early]);
      await assertLoggedIn(world, ada, "ada");
      if (!options.user) return;
      // the other one, if it began any, has been replaced
      const own = await world.there.bridge.sessionsOf("ada");
      assertEquals(own.map(({ sessionId }) => sessionId), [ada.jar.get(KEY)!]);
    },
  );

  eachLogin(
    deployment,
    "sent again after a lost answer leaves the user logged in",
    async (options, login, { hasSession, lastFirst, mode }) => {
      // without `user` a login is like any other write with an old id
      if (lastFirst || mode === "without user") return;
      const world = await start(options);
      const ada = await arrive(world, hasSession);
      world.route("/login", (ctx) => login("ada", ctx));
      const lost = await ada.here.post("/login", { keep: false });
      assertEquals(lost.status, 200);
      await laterOn();
      const again = await ada.there.post("/login");
      assertEquals(again.status, 200);
      await assertLoggedIn(world, ada, "ada");
      const own = await world.there.bridge.sessionsOf("ada");
      assertEquals(own.map(({ sessionId }) => sessionId), [ada.jar.get(KEY)!]);
    },
  );

  eachLogin(
    deployment,
    "sent twice, with the first answer dropped by the browser, leaves the user logged in",
    async (options, login, { hasSession, lastFirst, mode }) => {
      if (lastFirst || mode === "without user") return;
      // a request that follows a session to its new id sends no cookie
      if (hasSession && mode !== "with reconnect") return;
      const world = await start(options);
      const ada = await arrive(world, hasSession);
      const dropped = await world.hold(
        ada.here,
        (ctx) => login("ada", ctx),
        { keep: false },
      );
      const kept = await world.hold(ada.there, (ctx) => login("ada", ctx));
      assertEquals((await dropped.finish()).status, 200);
      assertEquals((await kept.finish()).status, 200);
      await assertLoggedIn(world, ada, "ada");
    },
  );

  for (const lastFirst of [false, true]) {
    const order = lastFirst ? ", committed in reverse" : "";
    for (const [mode, options] of Object.entries(MODES)) {
      it(`of two users at once: the later arrival stands, ${mode}${order}`, async () => {
        const world = await start(options);
        const ada = await arrive(world, false);
        const login = LOGINS["an assignment"]!;
        const answers = await loginTwice(world, ada, "bob", login, lastFirst);
        assertEquals(answers.map(({ status }) => status), [200, 200]);
        await assertLoggedIn(world, ada, "bob");
        if (!lastFirst) return;
        assertEquals(answers.map((answer) => mentionsSession(answer)), [
          true,
          false,
        ]);
        await world.conflicted(1);
        assertEquals(world.ends, []);
      });
    }

    it(`of two users at once from a guest's session: the later arrival stands${order}`, async () => {
      const world = await start({ user });
      const ada = await arrive(world, true);
      const login = LOGINS["an assignment"]!;
      await loginTwice(world, ada, "bob", login, lastFirst);
      await assertLoggedIn(world, ada, "bob");
    });
  }

  it("that regenerates the session first is refused where it sets no user", async () => {
    const world = await start({ user });
    world.route("/rotate", (ctx) => ctx.regenerateSession());
    world.route("/save", async (ctx) => {
      await ctx.regenerateSession();
      ctx.session!.cart = 2;
      return { code: await codeOf(ctx.withSession(() => 1)) };
    });
    world.route("/commit", async (ctx) => {
      await ctx.regenerateSession();
      ctx.session!.cart = 2;
    });
    const ada = await arrive(world, true);
    const old = ada.jar.clone();
    const during = await world.hold(ada.there, async (ctx) => {
      await ctx.regenerateSession();
      ctx.session!.cart = 2;
    });
    await ada.here.post("/session", { json: { user: "ada" } });
    const now = ada.jar.get(KEY);
    const answers = [await during.finish()];
    for (const path of ["/save", "/commit"]) {
      answers.push(await ada.there.post(path, { jar: old, keep: false }));
    }
    assertEquals(answers.map(({ status }) => status), [200, 200, 200]);
    assertEquals(answers[1]!.json, { code: "SESSION_CONFLICT" });
    assert(!answers.some((answer) => mentionsSession(answer)));
    await world.conflicted(3);
    assertEquals(await world.peek(now), { cart: 1, user: "ada" });
    assertEquals(ada.jar.get(KEY), now);
  });

  it("of three clicks leaves one session", async () => {
    const world = await start({ user });
    const ada = await arrive(world, true);
    const clicks = [];
    for (const browser of [ada.here, ada.there, ada.here]) {
      clicks.push(
        await world.hold(browser, (ctx) => LOGINS["regenerate()"]!("ada", ctx)),
      );
    }
    const answers = await Promise.all(clicks.map((click) => click.finish()));
    assert(answers.every(({ status }) => status === 200));
    const own = await world.there.bridge.sessionsOf("ada");
    assertEquals(own.length, 1);
  });
});
