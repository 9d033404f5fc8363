/** Rule 5 of "Which session a client has": a begin never takes the place of what a later request did. */
import { assert, assertEquals } from "@std/assert";
import { native, type TestContext, type TestSession } from "../support/app.ts";
import { mentionsSession } from "../support/browser.ts";
import { CLIENT_KEY, type CookieJar, KEY } from "../support/cookies.ts";
import { codeOf } from "../support/errors.ts";
import { onEachDeployment } from "../support/identity/deployments.ts";
import {
  type HeldRequest,
  laterOn,
  type Visitor,
} from "../support/identity/world.ts";

const user = (session: TestSession) => session.user;

/** Sets one key, as a cart or a counter does. */
const write = (ctx: TestContext) => {
  ctx.session!.cart = 1;
};

/** A browser with a client cookie, and a request of it, without a session, that is held until after a login. */
async function overtaken(
  ada: Visitor,
  hold: () => Promise<HeldRequest>,
): Promise<HeldRequest> {
  await ada.here.get("/");
  const guest = await hold();
  await ada.there.post("/session", { json: { user: "ada" } });
  return guest;
}

onEachDeployment("a guest's request that a login overtook", ({ start, it }) => {
  for (
    const [kind, options] of [["with", { user }], ["without", {}]] as const
  ) {
    it(`begins no session at its commit, ${kind} the option user`, async () => {
      const world = await start(options);
      const ada = world.visitor();
      const guest = await overtaken(ada, () => world.hold(ada.here, write));
      const sessionId = ada.jar.get(KEY);
      const answer = await guest.finish();
      assertEquals([answer.status, answer.body], [200, "done"]);
      assertEquals(mentionsSession(answer), false);
      const { session } = (await ada.there.get("/session")).json;
      assertEquals(session, { user: "ada" });
      assertEquals(ada.jar.get(KEY), sessionId);
      assertEquals(world.ends, []);
      await world.conflicted(1);
      assertEquals(world.conflicts.length, 1);
      const { keys, resolution } = world.conflicts[0]!;
      assertEquals([keys, resolution], [[], "refused"]);
    });
  }

  it("is answered 409 at its commit with onConflict reject", async () => {
    const world = await start({ onConflict: "reject" });
    const ada = world.visitor();
    const guest = await overtaken(ada, () => world.hold(ada.here, write));
    const answer = await guest.finish();
    assertEquals(answer.status, 409);
    assertEquals(mentionsSession(answer), false);
    assertEquals((await ada.there.get("/session")).json.session, {
      user: "ada",
    });
    assertEquals(world.ends, []);
  });

  it("rejects each call that would begin one with SESSION_CONFLICT", async () => {
    const world = await start();
    const ada = world.visitor();
    const calls: Record<string, (ctx: TestContext) => Promise<unknown>> = {
      save: async (ctx) => await native(ctx).save(),
      manuallyCommit: (ctx) => native(ctx).manuallyCommit(),
      withSession: (ctx) => ctx.withSession(() => "ran"),
      regenerate: async (ctx) => await native(ctx).regenerate(),
      regenerateSession: (ctx) => ctx.regenerateSession(),
      "regenerateSession (leave)": (ctx) =>
        ctx.regenerateSession({ sockets: "leave" }),
      "regenerateSession (reconnect)": (ctx) =>
        ctx.regenerateSession({ sockets: "reconnect" }),
    };
    await ada.here.get("/");
    const held: [string, HeldRequest][] = [];
    for (const [name, call] of Object.entries(calls)) {
      const act = async (ctx: TestContext) => {
        write(ctx);
        const code = await codeOf(call(ctx));
        return { code, sessionId: ctx.sessionId };
      };
      held.push([name, await world.hold(ada.here, act)]);
    }
    await ada.there.post("/session", { json: { user: "ada" } });
    for (const [name, request] of held) {
      const answer = await request.finish();
      assertEquals(answer.status, 200, name);
      assertEquals(answer.json, { code: "SESSION_CONFLICT" }, name);
      assertEquals(mentionsSession(answer), false, name);
    }
    assertEquals((await ada.there.get("/session")).json.session, {
      user: "ada",
    });
    assertEquals(world.ends, []);
    await world.conflicted(held.length);
  });

  it("is answered 409 where its handler passes the error on", async () => {
    const world = await start();
    const ada = world.visitor();
    const guest = await overtaken(
      ada,
      () =>
        world.hold(ada.here, async (ctx) => {
          write(ctx);
          await native(ctx).save();
        }),
    );
    const answer = await guest.finish();
    assertEquals(answer.status, 409);
    assertEquals(mentionsSession(answer), false);
  });

  it("reads nothing of the session, and changes nothing where it writes nothing", async () => {
    const world = await start();
    const ada = world.visitor();
    const guest = await overtaken(
      ada,
      () => world.hold(ada.here, (ctx) => ({ session: ctx.session })),
    );
    const answer = await guest.finish();
    assertEquals(answer.json, { session: {} });
    assertEquals(mentionsSession(answer), false);
    assertEquals(world.conflicts, []);
  });

  it("begins one where it arrived after the login, without its cookie", async () => {
    const world = await start();
    const ada = world.visitor();
    await ada.here.get("/");
    await ada.here.post("/session", { json: { n: 1 } });
    const first = ada.jar.get(KEY)!;
    ada.jar.delete(KEY);
    const later = await world.hold(ada.there, write);
    const answer = await later.finish();
    assert(mentionsSession(answer));
    assertEquals(world.ends, [[first, "replaced"]]);
  });

  it("begins one where the login has been undone by a logout", async () => {
    const world = await start();
    const ada = world.visitor();
    const guest = await overtaken(ada, () => world.hold(ada.here, write));
    await ada.there.post("/logout");
    const answer = await guest.finish();
    assertEquals(answer.status, 200);
    assert(mentionsSession(answer));
    assertEquals((await ada.there.get("/session")).json.session, { cart: 1 });
  });
});

onEachDeployment("a request with an id that was", ({ start, it }) => {
  const rotations = ["follow", "leave", "reconnect"] as const;

  for (const sockets of rotations) {
    it(`regenerated (${sockets}) begins no session unless it sets a user`, async () => {
      const world = await start({ user, onUserChange: "keep" });
      world.route("/rotate", (ctx) => ctx.regenerateSession({ sockets }));
      const ada = world.visitor();
      await ada.here.post("/session", { json: { user: "ada" } });
      await ada.here.get("/");
      const old = ada.jar.clone();
      await ada.here.post("/rotate");
      await laterOn();
      const now = ada.jar.get(KEY)!;
      const jar = old.clone();
      const refused = await ada.there.post("/session", { json: { n: 1 }, jar });
      assertEquals(refused.status, 200);
      assertEquals(mentionsSession(refused), false);
      await world.conflicted(1);
      assertEquals(await world.peek(now), { user: "ada" });
      assertEquals(world.ends.length, 1);

      // a login that is sent again, as its answer was lost
      const again = await ada.there.post("/session", {
        json: { user: "ada", again: true },
        jar,
      });
      assert(mentionsSession(again));
      const { session } = (await ada.here.get("/session", { jar })).json;
      assertEquals(session, { user: "ada", again: true });
      assertEquals(world.conflicts.length, 1);
    });
  }

  it("replaced begins no session unless it sets a user", async () => {
    const world = await start({ user });
    const ada = world.visitor();
    await ada.here.post("/session", { json: { user: "ada" } });
    await ada.here.get("/");
    const old = ada.jar.clone();
    ada.jar.delete(KEY);
    await ada.here.post("/session", { json: { user: "ada", n: 2 } });
    const now = ada.jar.get(KEY)!;
    assertEquals(world.ends, [[old.get(KEY)!, "replaced"]]);
    const jar = old.clone();
    const refused = await ada.there.post("/session", { json: { n: 1 }, jar });
    assertEquals(mentionsSession(refused), false);
    await world.conflicted(1);
    assertEquals(await world.peek(now), { user: "ada", n: 2 });
    const again = await ada.there.post("/session", {
      json: { user: "ada", n: 3 },
      jar,
    });
    assert(mentionsSession(again));
    assertEquals((await ada.here.get("/session", { jar })).json.session, {
      user: "ada",
      n: 3,
    });
  });

  it("regenerated is refused a begin by save, with a 409 under reject", async () => {
    const world = await start({ onConflict: "reject" });
    world.route("/rotate", (ctx) => ctx.regenerateSession());
    world.route("/save", async (ctx) => {
      write(ctx);
      const code = await codeOf(Promise.resolve(native(ctx).save()));
      ctx.session = null;
      return { code };
    });
    const ada = world.visitor();
    await ada.here.post("/session", { json: { n: 1 } });
    await ada.here.get("/");
    const old = ada.jar.clone();
    await ada.here.post("/rotate");
    await laterOn();
    const saved = await ada.there.post("/save", { jar: old, keep: false });
    assertEquals(saved.json, { code: "SESSION_CONFLICT" });
    const answer = await ada.there.post("/session", {
      json: { n: 2 },
      jar: old,
      keep: false,
    });
    assertEquals(answer.status, 409);
    assertEquals(mentionsSession(answer), false);
    assertEquals((await ada.there.get("/session")).json.session, { n: 1 });
  });

  it("regenerated twice is refused with the oldest id, before and after the rotations", async () => {
    const world = await start({ user });
    const ada = world.visitor();
    world.route("/rotate", (ctx) => ctx.regenerateSession());
    await ada.here.post("/session", { json: { user: "ada" } });
    await ada.here.get("/");
    const oldest = ada.jar.clone();
    const during = await world.hold(ada.there, write, { keep: false });
    await ada.here.post("/rotate");
    await ada.here.post("/rotate");
    await laterOn();
    const now = ada.jar.get(KEY)!;
    // it follows the session, as sockets do
    const followed = await during.finish();
    assertEquals(mentionsSession(followed), false);
    assertEquals(await world.peek(now), { user: "ada", cart: 1 });
    // it brings an id that is dead
    const answer = await ada.there.post("/session", {
      json: { visits: 1 },
      jar: oldest,
      keep: false,
    });
    assertEquals(answer.json.session, { visits: 1 });
    assertEquals(mentionsSession(answer), false);
    await world.conflicted(1);
    assertEquals(await world.peek(now), { user: "ada", cart: 1 });
    assertEquals((await ada.here.get("/session")).json.sessionId, now);
    assertEquals((await world.there.bridge.sessionsOf("ada")).length, 1);
  });

  it("regenerated ends nothing by its login but its own user's session on the client", async () => {
    const world = await start({ user });
    world.route("/rotate", (ctx) => ctx.regenerateSession());
    const ada = world.visitor();
    await ada.here.post("/session", { json: { user: "ada" } });
    await ada.here.get("/");
    const old = ada.jar.clone();
    await ada.here.post("/rotate");
    await laterOn();
    const now = ada.jar.get(KEY)!;
    // the old id, and a login of another user
    const answer = await ada.there.post("/session", {
      json: { user: "bob" },
      jar: old,
    });
    assert(mentionsSession(answer));
    assertEquals(await world.peek(now), { user: "ada" });
    assert(old.get(CLIENT_KEY) !== ada.jar.get(CLIENT_KEY));
    const bob = world.visitor(old);
    assertEquals((await bob.here.get("/session")).json.session, {
      user: "bob",
    });
  });

  it("logged out by the browser begins a session at once", async () => {
    const world = await start({ user });
    const ada = world.visitor();
    await ada.here.post("/session", { json: { user: "ada" } });
    const jar: CookieJar = ada.jar.clone();
    await ada.here.post("/logout");
    const answer = await ada.there.post("/session", { json: { n: 1 }, jar });
    assert(mentionsSession(answer));
  });
});
