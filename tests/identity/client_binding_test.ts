/** Rules 1 to 4 of "Which session a client has". */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { mentionsSession } from "../support/browser.ts";
import { CLIENT_KEY, CookieJar, KEY } from "../support/cookies.ts";
import { onEachDeployment } from "../support/identity/deployments.ts";
import { jarOf, pair } from "../support/identity/jars.ts";
import {
  closings,
  entered,
  handshake,
  openTab,
  whoami,
} from "../support/identity/tabs.ts";
import {
  laterOn,
  type Visitor,
  type World,
} from "../support/identity/world.ts";
import { collect, once } from "../support/wait.ts";

/** A browser with a session that is settled on its client id. */
async function settled(world: World, n = 1): Promise<Visitor> {
  const visitor = world.visitor();
  await visitor.here.post("/session", { json: { n } });
  await visitor.here.get("/");
  return visitor;
}

onEachDeployment("the request that begins a session", ({ start, it }) => {
  it("binds it to the client id of its response at once", async () => {
    const world = await start();
    const starts = collect(world.here.bridge, "sessionStart");
    const ada = world.visitor();
    await ada.here.post("/session", { json: { n: 1 } });
    const sessionId = ada.jar.get(KEY);
    const clientId = ada.jar.get(CLIENT_KEY);
    assert(sessionId);
    assertEquals(starts, [[
      { sessionId, clientId, cause: "created", local: true },
    ]]);
    const { bridge } = world.there;
    assertEquals(await bridge.sessionIdOf(clientId!), sessionId);
    assertEquals(await bridge.clientIdOf(sessionId), clientId);
  });

  it("leaves a session alone that another client has", async () => {
    const world = await start();
    const [ada, bob] = [await settled(world), await settled(world, 2)];
    assertEquals(world.ends, []);
    assertEquals((await ada.there.get("/session")).json.session, { n: 1 });
    assertEquals((await bob.there.get("/session")).json.session, { n: 2 });
  });
});

onEachDeployment("a provisional binding", ({ start, it }) => {
  /** A browser with the client cookie of another response than the one that began its session. */
  async function crossed(world: World) {
    const ada = world.visitor();
    const jar = new CookieJar();
    const [began, other] = await Promise.all([
      ada.here.post("/session", { json: { n: 1 }, jar, keep: false }),
      ada.here.get("/", { jar, keep: false }),
    ]);
    ada.jar.apply(began.setCookies);
    ada.jar.apply(other.setCookies);
    const own = jarOf(other).get(CLIENT_KEY);
    assertNotEquals(own, jarOf(began).get(CLIENT_KEY));
    return { ada, began: jarOf(began), clientId: own };
  }

  for (const first of ["request", "handshake"] as const) {
    it(`is settled by the first ${first} that brings both cookies`, async () => {
      const world = await start();
      const { ada, clientId } = await crossed(world);
      const sessionId = ada.jar.get(KEY);
      const expected = { sessionId, clientId };
      if (first === "request") {
        assertEquals((await ada.there.get("/")).json, expected);
      } else assertEquals(await handshake(ada.there), expected);
      assertEquals(await world.here.bridge.clientIdOf(sessionId!), clientId);
      assertEquals((await ada.here.get("/session")).json, {
        session: { n: 1 },
        ...expected,
      });
      assertEquals(ada.jar.get(CLIENT_KEY), clientId);
    });
  }

  it("is not settled by a session cookie alone, which is let in", async () => {
    const world = await start();
    const { ada, began } = await crossed(world);
    const sessionId = ada.jar.get(KEY);
    const alone = pair(ada.jar);
    const answer = await ada.there.get("/session", { jar: alone, keep: false });
    assertEquals(answer.json.session, { n: 1 });
    const ids = await handshake(ada.there, alone);
    assertEquals(ids.sessionId, sessionId);
    assertEquals(ids.clientId, began.get(CLIENT_KEY));
    // the first one with both still settles it
    const { clientId } = (await ada.there.get("/")).json;
    assertEquals(clientId, ada.jar.get(CLIENT_KEY));
  });

  it("takes only the sockets along that brought the session cookie", async () => {
    const world = await start();
    const { ada, began } = await crossed(world);
    const sessionId = ada.jar.get(KEY);
    const by = await ada.there.connect("/", { jar: pair(ada.jar) });
    const guest = await ada.there.connect("/", { jar: pair(undefined, began) });
    assertEquals((await whoami(ada.there, guest)).sessionId, undefined);
    await ada.there.get("/");
    assertEquals((await whoami(ada.there, by)).sessionId, sessionId);
    assertEquals((await whoami(ada.there, guest)).sessionId, undefined);
    assertEquals(
      (await ada.there.ask(guest, "get")).code,
      "SESSION_MISSING",
    );
  });
});

onEachDeployment("the binding of a session", ({ start, restart, it }) => {
  for (const kind of ["provisional", "settled"] as const) {
    it(`outlives a restart where it is ${kind}`, async () => {
      const world = await start();
      const ada = world.visitor();
      await ada.here.post("/session", { json: { n: 1 } });
      if (kind === "settled") await ada.here.get("/");
      const own = {
        sessionId: ada.jar.get(KEY),
        clientId: ada.jar.get(CLIENT_KEY),
      };
      const again = await restart(world);
      const starts = collect(again.here.bridge, "sessionStart");
      const { here } = again.visitor(ada.jar);
      if (kind === "settled") {
        const mallory = again.visitor();
        await mallory.here.get("/");
        assertEquals(
          await handshake(mallory.here, pair(ada.jar, mallory.jar)),
          {},
        );
      }
      assertEquals(await handshake(here), own);
      assertEquals((await here.get("/session")).json, {
        session: { n: 1 },
        ...own,
      });
      assertEquals(starts, [[{ ...own, cause: "rebuilt", local: true }]]);
    });
  }
}, { cluster: false });

onEachDeployment("a session given a client id by leave", ({ start, it }) => {
  it("is settled from its start", async () => {
    const world = await start();
    const ada = await settled(world);
    const former = ada.jar.clone();
    world.route("/leave", (ctx) => ctx.regenerateSession({ sockets: "leave" }));
    await ada.here.post("/leave");
    assertNotEquals(ada.jar.get(CLIENT_KEY), former.get(CLIENT_KEY));
    // the first handshake after it brings the former client cookie
    const ids = await handshake(ada.there, pair(ada.jar, former));
    assertEquals(ids, {});
    assertEquals(
      (await handshake(ada.there)).sessionId,
      ada.jar.get(KEY),
    );
  });
});

onEachDeployment("a settled session", ({ start, it }) => {
  it("refuses a socket with its cookie and another client id, which follows no client", async () => {
    const world = await start();
    const ada = await settled(world);
    const mallory = world.visitor();
    await mallory.here.get("/");
    const stolen = pair(ada.jar, mallory.jar);
    for (const transports of [["websocket"], ["polling"]]) {
      const socket = await mallory.there.connect("/", {
        jar: stolen,
        transports,
      });
      assertEquals(await whoami(mallory.there, socket), {});
      assertEquals(
        (await mallory.there.ask(socket, "get")).code,
        "SESSION_MISSING",
      );
    }
    // it does not follow the client of its client cookie either
    const socket = await mallory.there.connect("/", { jar: stolen });
    await mallory.there.post("/session", { json: { n: 3 } });
    assertEquals(await whoami(mallory.there, socket), {});
  });

  it("closes such a socket at the transport when a request corrects the client cookie", async () => {
    const world = await start();
    const ada = await settled(world);
    const other = world.visitor();
    await other.here.get("/");
    const jar = pair(ada.jar, other.jar);
    const tab = await openTab(ada.there, { jar });
    const socket = await ada.there.connect();
    const closed = closings(tab);
    assertEquals(await whoami(ada.there, tab), {});
    const answer = await other.here.get("/session", { jar });
    assertEquals(answer.json.session, { n: 1 });
    assertEquals(mentionsSession(answer), false);
    assertEquals(jar.get(CLIENT_KEY), ada.jar.get(CLIENT_KEY));
    await entered(ada.there, tab, ada.jar.get(KEY));
    assertEquals(closed.count, 1);
    assertEquals(socket.connected, true);
  });

  it("corrects the client cookie, and does nothing to the session of that client", async () => {
    const world = await start();
    const [ada, bob] = [await settled(world), await settled(world, 2)];
    const jar = pair(ada.jar, bob.jar);
    const answer = await bob.there.get("/", { jar });
    assertEquals(answer.json, {
      sessionId: ada.jar.get(KEY),
      clientId: ada.jar.get(CLIENT_KEY),
    });
    assertEquals(mentionsSession(answer), false);
    assertEquals(jar.get(CLIENT_KEY), ada.jar.get(CLIENT_KEY));
    assertEquals(world.ends, []);
    assertEquals((await bob.here.get("/session")).json.session, { n: 2 });
    assertEquals(await handshake(bob.here), {
      sessionId: bob.jar.get(KEY),
      clientId: bob.jar.get(CLIENT_KEY),
    });
  });
});

onEachDeployment("a session cookie of no live session", ({ start, it }) => {
  const ends: Record<string, (world: World, ada: Visitor) => Promise<unknown>> =
    {
      "a logout": (_world, ada) => ada.here.post("/logout"),
      "a revocation": (world, ada) =>
        world.here.bridge.destroy(ada.jar.get(KEY)!),
      "a regenerate() that sockets follow": (_world, ada) =>
        ada.here.post("/regenerate/follow"),
      "a regenerate() that leaves sockets": (_world, ada) =>
        ada.here.post("/regenerate/leave"),
    };
  for (const [what, end] of Object.entries(ends)) {
    it(`opens nothing over HTTP after ${what}, with any client cookie`, async () => {
      const world = await start();
      for (const sockets of ["follow", "leave"] as const) {
        const path = `/regenerate/${sockets}`;
        world.route(path, (ctx) => ctx.regenerateSession({ sockets }));
      }
      const ada = await settled(world);
      const dead = ada.jar.clone();
      await end(world, ada);
      await laterOn();
      const isRegenerated = what.startsWith("a regenerate");
      // the browser's next session, where it has none now
      if (!isRegenerated) {
        await ada.here.post("/session", { json: { n: 2 } });
      }
      const bob = await settled(world, 3);
      for (const client of [undefined, dead, ada.jar, bob.jar]) {
        const jar = pair(dead, client);
        const copy = jar.header();
        for (const { here, there } of [ada, bob]) {
          for (const browser of [here, there]) {
            const answer = await browser.get("/session", { jar, keep: false });
            assertEquals(answer.json.session, {});
            assertEquals(answer.json.sessionId, undefined);
            assertEquals(mentionsSession(answer), false);
          }
        }
        assertEquals(jar.header(), copy);
      }
      const { session } = (await ada.there.get("/session")).json;
      assertEquals(session, { n: isRegenerated ? 1 : 2 });
    });
  }

  it("begins a session where it ended more than by a rotation", async () => {
    const world = await start();
    const ada = await settled(world);
    const dead = ada.jar.clone();
    await ada.here.post("/logout");
    const answer = await ada.there.post("/session", {
      json: { n: 2 },
      jar: dead,
    });
    assert(answer.cookie(KEY));
    assertEquals((await ada.here.get("/session", { jar: dead })).json.session, {
      n: 2,
    });
  });
});

onEachDeployment("the client cookie alone", ({ start, it }) => {
  it("opens nothing over HTTP", async () => {
    const world = await start();
    const ada = await settled(world);
    const jar = pair(undefined, ada.jar);
    const answer = await ada.there.get("/session", { jar, keep: false });
    assertEquals(answer.json.session, {});
    assertEquals(answer.json.sessionId, undefined);
    assertEquals(mentionsSession(answer), false);
    assertEquals(answer.json.clientId, ada.jar.get(CLIENT_KEY));
  });

  it("gives the client another session when it begins one: the former ends as replaced", async () => {
    const world = await start();
    const ada = await settled(world);
    const former = ada.jar.get(KEY)!;
    const tab = await ada.there.connect();
    const started = once(tab, "session:start");
    ada.jar.delete(KEY);
    await ada.here.post("/session", { json: { n: 2 } });
    assertEquals(world.ends, [[former, "replaced"]]);
    await started;
    assertEquals((await whoami(ada.there, tab)).sessionId, ada.jar.get(KEY));
  });
});
