/** "Who was on the way with the old id": requests and calls under way at a regeneration. */
import { assert, assertEquals } from "@std/assert";
import {
  serverSocketOf,
  type TestContext,
  type TestSession,
} from "../support/app.ts";
import { mentionsSession } from "../support/browser.ts";
import { KEY } from "../support/cookies.ts";
import { codeOf } from "../support/errors.ts";
import { onEachDeployment } from "../support/identity/deployments.ts";
import { openTab } from "../support/identity/tabs.ts";
import type { Visitor, World } from "../support/identity/world.ts";
import type { TestOptions } from "../support/server.ts";
import { deferred, until } from "../support/wait.ts";

const user = (session: TestSession) => session.user;

/** The ways in which a request gives its session a new id. */
interface Way {
  readonly options: TestOptions;
  readonly rotate: (ctx: TestContext) => unknown;
  /** Whether sockets follow, and whatever is under way. */
  readonly follows: boolean;
}

const by = (sockets: "follow" | "leave" | "reconnect"): Way => ({
  options: {},
  rotate: (ctx) => ctx.regenerateSession({ sockets }),
  follows: sockets === "follow",
});

const login = (ctx: TestContext) => {
  ctx.session!.user = "ada";
};

const WAYS: Record<string, Way> = {
  "follow": by("follow"),
  "leave": by("leave"),
  "reconnect": by("reconnect"),
  "a login": { options: { user }, rotate: login, follows: false },
  "a login with follow": {
    options: { user, onUserChange: "follow" },
    rotate: login,
    follows: true,
  },
};

/** A browser with a session whose id `/rotate` changes. */
async function begin(
  world: World,
  rotate: Way["rotate"],
): Promise<Visitor & { old: string }> {
  world.route("/rotate", rotate);
  const ada = world.visitor();
  await ada.here.post("/session", { json: { n: 1 } });
  await ada.here.get("/");
  return { ...ada, old: ada.jar.get(KEY)! };
}

for (const [name, { options, rotate, follows }] of Object.entries(WAYS)) {
  onEachDeployment(`what is under way at ${name}`, ({ start, it }) => {
    const added = options.user ? { user: "ada" } : {};

    it(`a request ${follows ? "commits to the new id" : "stores nothing"}, without a cookie`, async () => {
      const world = await start(options);
      const ada = await begin(world, rotate);
      const slow = await world.hold(ada.there, (ctx) => {
        ctx.session!.slow = true;
      });
      await ada.here.post("/rotate");
      const now = ada.jar.get(KEY);
      assert(now !== ada.old);
      const answer = await slow.finish();
      assertEquals([answer.status, answer.body], [200, "done"]);
      assertEquals(mentionsSession(answer), false);
      const stored = { n: 1, ...added, ...follows && { slow: true } };
      assertEquals(await world.peek(now), stored);
      if (follows) assertEquals(world.conflicts, []);
      else await world.conflicted(1);
      assertEquals(ada.jar.get(KEY), now);
    });

    it(`its null ${follows ? "ends the session" : "ends nothing"}`, async () => {
      const world = await start(options);
      const ada = await begin(world, rotate);
      const slow = await world.hold(ada.there, (ctx) => {
        ctx.session = null;
      });
      await ada.here.post("/rotate");
      const now = ada.jar.get(KEY);
      const answer = await slow.finish();
      assertEquals(answer.status, 200);
      // a late response removes no cookie of a later session
      assertEquals(mentionsSession(answer), false);
      assertEquals(
        await world.peek(now),
        follows ? undefined : { n: 1, ...added },
      );
    });

    it(`a transaction of a request ${follows ? "runs on the new id" : "finds the session missing"}`, async () => {
      const world = await start(options);
      const ada = await begin(world, rotate);
      const slow = await world.hold(ada.there, async (ctx) => {
        const code = await codeOf(ctx.withSession(({ session }) => {
          session.slow = true;
        }));
        return { code };
      });
      await ada.here.post("/rotate");
      const now = ada.jar.get(KEY);
      const answer = await slow.finish();
      assertEquals(answer.json, follows ? {} : { code: "SESSION_MISSING" });
      assertEquals(mentionsSession(answer), false);
      const stored = { n: 1, ...added, ...follows && { slow: true } };
      assertEquals(await world.peek(now), stored);
    });

    it(`a call that waits ${follows ? "runs on the new id" : "finds the session missing"}, by socket and by id`, async () => {
      const world = await start(options);
      const inside = deferred();
      const gate = deferred();
      const ada = await begin(world, rotate);
      // the request's own transaction holds the session, and changes its id
      world.route("/hold", (ctx) =>
        ctx.withSession(async (sessionCtx) => {
          inside.resolve();
          await gate.promise;
          if (options.user) (sessionCtx.session as TestSession).user = "ada";
          else await rotate(ctx);
        }));
      const tab = await openTab(ada.there);
      const socket = serverSocketOf(world.there.io, tab);
      const holding = ada.here.post("/hold");
      await inside.promise;
      const seen = (
        { session, sessionId }: {
          session: TestSession | null;
          sessionId: string;
        },
      ) => ({ n: session!.n, sessionId });
      const calls = [
        socket.withSession(seen, () => "missing"),
        world.there.bridge.withSession(ada.old, seen, () => "missing"),
      ];
      // on the same connection to the store: they wait once it was answered
      for (let i = 0; i < 3; i++) await world.peek(ada.old);
      gate.resolve();
      assertEquals((await holding).status, 200);
      const sessionId = ada.jar.get(KEY)!;
      assert(sessionId !== ada.old);
      const expected = follows ? { n: 1, sessionId } : "missing";
      assertEquals(await Promise.all(calls), [expected, expected]);
    });
  });
}

for (const name of ["leave", "reconnect", "a login"] as const) {
  const { options, rotate } = WAYS[name]!;
  onEachDeployment(`what runs at ${name}`, ({ start, it }) => {
    for (const ends of [false, true]) {
      it(`a call that is overdue rejects with SESSION_ENDED, and ${ends ? "its null ends" : "stores"} nothing`, async () => {
        const world = await start({ ...options, lockTimeout: 200 });
        const ada = await begin(world, rotate);
        const tab = await openTab(ada.there);
        const socket = serverSocketOf(world.there.io, tab);
        const inside = deferred();
        const gate = deferred();
        const running = socket.withSession(async (sessionCtx) => {
          inside.resolve();
          await gate.promise;
          if (ends) sessionCtx.session = null;
          else sessionCtx.session!.late = true;
        });
        const code = codeOf(running);
        await inside.promise;
        // it waits for the hold, which is overdue before that wait is
        await until(async () => {
          const { status } = await ada.here.post("/rotate");
          return status === 200;
        }, "the new id");
        gate.resolve();
        assertEquals(await code, "SESSION_ENDED");
        const stored = { n: 1, ...options.user ? { user: "ada" } : {} };
        assertEquals(await world.peek(ada.jar.get(KEY)), stored);
      });
    }

    it("the request that made the change goes on", async () => {
      const world = await start(options);
      const ada = await begin(world, async (ctx) => {
        await rotate(ctx);
        ctx.session!.more = 1;
        await ctx.withSession(({ session }) => {
          session.inside = 2;
        });
        ctx.session!.last = 3;
      });
      const answer = await ada.here.post("/rotate");
      assertEquals(answer.status, 200);
      assert(mentionsSession(answer));
      const { session } = (await ada.there.get("/session")).json;
      const own = options.user ? { user: "ada" } : {};
      assertEquals(session, { n: 1, ...own, more: 1, inside: 2, last: 3 });
      assertEquals(world.conflicts, []);
    });
  });
}
