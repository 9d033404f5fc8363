/** Rules 6 and 7 of "Which session a client has": what a handshake opens. */
import { assertEquals, assertNotEquals } from "@std/assert";
import type { TestSession } from "../support/app.ts";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
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
import { once, until } from "../support/wait.ts";

const user = (session: TestSession) => session.user;

/** A browser with a session that is settled on its client id, and known to both nodes. */
async function settled(world: World, session: TestSession): Promise<Visitor> {
  const visitor = world.visitor();
  await visitor.here.post("/session", { json: session });
  await visitor.here.get("/");
  // both nodes know the session: where it begins later, guests of its client enter it
  await visitor.there.get("/");
  return visitor;
}

onEachDeployment("a handshake", ({ start, it }) => {
  for (const transports of [["websocket"], ["polling"]]) {
    it(`by ${transports} is in the live session of its session cookie, with a client cookie or none`, async () => {
      const world = await start();
      const ada = await settled(world, { n: 1 });
      for (const jar of [ada.jar, pair(ada.jar)]) {
        const socket = await ada.there.connect("/", { jar, transports });
        assertEquals(await ada.there.ask(socket, "get"), { n: 1 });
      }
    });
  }

  it("with the client cookie of a live session alone is a guest of that client", async () => {
    const world = await start();
    const ada = await settled(world, { n: 1 });
    const guest = await ada.there.connect("/", {
      jar: pair(undefined, ada.jar),
    });
    assertEquals(await whoami(ada.there, guest), {
      clientId: ada.jar.get(CLIENT_KEY),
    });
    assertEquals((await ada.there.ask(guest, "get")).code, "SESSION_MISSING");
  });

  it("with a dead session cookie is a guest, whatever its client has", async () => {
    const world = await start();
    const ada = await settled(world, { n: 1 });
    const dead = ada.jar.clone();
    await ada.here.post("/logout");
    await ada.here.post("/session", { json: { n: 2 } });
    for (const client of [undefined, ada.jar]) {
      const jar = pair(dead, client);
      const { sessionId } = await handshake(ada.there, jar);
      assertEquals(sessionId, undefined);
    }
    assertEquals((await handshake(ada.there)).sessionId, ada.jar.get(KEY));
  });
});

onEachDeployment(
  "a guest's socket without the option user",
  ({ start, it }) => {
    it("enters the session that its client begins, on the same connection", async () => {
      const world = await start();
      const ada = world.visitor();
      await ada.here.get("/");
      const socket = await ada.there.connect();
      const { id } = socket;
      const started = once(socket, "session:start");
      await ada.here.post("/session", { json: { n: 1 } });
      await started;
      assertEquals(await ada.there.ask(socket, "get"), { n: 1 });
      assertEquals(socket.id, id);
    });

    it("enters the next one after each end, on the same connection", async () => {
      const world = await start();
      const ada = await settled(world, { n: 0 });
      const socket = await ada.there.connect();
      const { id } = socket;
      for (const n of [1, 2]) {
        const ended = once(socket, "session:end");
        await ada.here.post("/logout");
        assertEquals(await ended, [{ reason: "logout" }]);
        assertEquals(
          (await ada.there.ask(socket, "get")).code,
          "SESSION_MISSING",
        );
        const started = once(socket, "session:start");
        await ada.here.post("/session", { json: { n } });
        await started;
        assertEquals(await ada.there.ask(socket, "get"), { n });
      }
      assertEquals(socket.id, id);
    });

    it("does not enter that of another client", async () => {
      const world = await start();
      const [ada, bob] = [world.visitor(), world.visitor()];
      await ada.here.get("/");
      await bob.here.get("/");
      const socket = await bob.there.connect();
      await ada.here.post("/session", { json: { n: 1 } });
      await ada.there.get("/session");
      assertEquals((await whoami(bob.there, socket)).sessionId, undefined);
      assertEquals(bob.there.received(socket), []);
    });
  },
);

onEachDeployment("a socket with the option user", ({ start, it }) => {
  const startUsers = () => start({ user });

  it("is in the session of its session cookie, with the client cookie of another client too", async () => {
    const world = await startUsers();
    const ada = await settled(world, { user: "ada" });
    const other = world.visitor();
    await other.here.get("/");
    const jar = pair(ada.jar, other.jar);
    assertEquals(
      (await handshake(ada.there, jar)).sessionId,
      ada.jar.get(KEY),
    );
  });

  for (const session of [{ n: 1 }, { user: "ada" }]) {
    const what = "user" in session ? "a login" : "a guest's session";
    it(`that is a guest is closed at the transport when ${what} begins, and comes back by its cookie`, async () => {
      const world = await startUsers();
      const ada = world.visitor();
      await ada.here.get("/");
      const tab = await openTab(ada.there);
      const stranger = await openTab(ada.there, {
        jar: pair(undefined, ada.jar),
      });
      const closed = [closings(tab), closings(stranger)];
      await ada.here.post("/session", { json: session });
      await entered(ada.there, tab, ada.jar.get(KEY));
      await until(() => closed.every(({ count }) => count === 1), "closings");
      assertEquals(await ada.there.ask(tab, "get"), session);
      await entered(ada.there, stranger, undefined);
      assertEquals(
        (await ada.there.ask(stranger, "get")).code,
        "SESSION_MISSING",
      );
    });
  }

  it("that is a guest comes back after a login that also asks for leave", async () => {
    const world = await startUsers();
    world.route("/login", async (ctx) => {
      ctx.session = { user: "ada" };
      await ctx.regenerateSession({ sockets: "leave" });
    });
    const ada = world.visitor();
    await ada.here.get("/");
    const tab = await openTab(ada.there);
    await ada.here.post("/login");
    await entered(ada.there, tab, ada.jar.get(KEY));
    assertEquals(await ada.there.ask(tab, "get"), { user: "ada" });
  });

  it("comes back by its cookie after a login, and is a guest after the logout", async () => {
    const world = await startUsers();
    const ada = await settled(world, { cart: 1 });
    const tab = await openTab(ada.there);
    const guest = ada.jar.get(KEY);
    const rotated = once(tab, "session:rotated");
    await ada.here.post("/session", { json: { user: "ada" } });
    assertEquals(await rotated, [{ sockets: "reconnect" }]);
    assertNotEquals(ada.jar.get(KEY), guest);
    await entered(ada.there, tab, ada.jar.get(KEY));
    const ended = once(tab, "session:end");
    await ada.here.post("/logout");
    assertEquals(await ended, [{ reason: "logout" }]);
    await entered(ada.there, tab, undefined);
    assertEquals((await ada.there.ask(tab, "get")).code, "SESSION_MISSING");
  });

  it("that brought the old cookie only is a guest after a login", async () => {
    const world = await startUsers();
    const ada = await settled(world, { cart: 1 });
    const old = ada.jar.clone();
    const planted = await openTab(ada.there, { jar: old });
    const closed = closings(planted);
    await ada.here.post("/session", { json: { user: "ada" } });
    await until(() => closed.count === 1, "the closing");
    await entered(ada.there, planted, undefined);
    assertEquals(
      (await ada.there.ask(planted, "get")).code,
      "SESSION_MISSING",
    );
  });
});

onEachDeployment("a begin with the option user", ({ start, it }) => {
  it("by a client cookie alone ends no session of another user: it is given a new client id", async () => {
    const world = await start({ user });
    const ada = await settled(world, { user: "ada" });
    const socket = await ada.there.connect();
    const bob = world.visitor(pair(undefined, ada.jar));
    await bob.here.post("/session", { json: { user: "bob" } });
    assertNotEquals(bob.jar.get(CLIENT_KEY), ada.jar.get(CLIENT_KEY));
    assertEquals(world.ends, []);
    assertEquals((await ada.there.get("/session")).json, {
      session: { user: "ada" },
      sessionId: ada.jar.get(KEY),
      clientId: ada.jar.get(CLIENT_KEY),
    });
    assertEquals(
      (await whoami(ada.there, socket)).sessionId,
      ada.jar.get(KEY),
    );
    assertEquals((await bob.there.get("/session")).json.session, {
      user: "bob",
    });
  });

  it("of the same user by a client cookie alone ends the former one as replaced", async () => {
    const world = await start({ user });
    const ada = await settled(world, { user: "ada" });
    const former = ada.jar.get(KEY)!;
    ada.jar.delete(KEY);
    await ada.here.post("/session", { json: { user: "ada" } });
    assertEquals(world.ends, [[former, "replaced"]]);
    assertEquals(await world.peek(former), undefined);
    assertEquals((await world.there.bridge.sessionsOf("ada")).length, 1);
  });

  it("by a guest with a client cookie alone ends no session", async () => {
    const world = await start({ user });
    const ada = await settled(world, { user: "ada" });
    const guest = world.visitor(pair(undefined, ada.jar));
    await guest.here.post("/session", { json: { n: 1 } });
    assertEquals(world.ends, []);
    assertEquals((await ada.there.get("/session")).json.session, {
      user: "ada",
    });
  });
});
