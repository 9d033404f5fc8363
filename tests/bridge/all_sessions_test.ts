import { SessionStore } from "@koa-io/session";
import { encrypted } from "@koa-io/session/encrypted";
import { assert, assertEquals, assertFalse, assertRejects } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { randomBytes } from "node:crypto";
import { newId, record } from "../support/stores/records.ts";
import { routesAndEvents } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";

async function collect<T>(all: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of all) found.push(one);
  return found;
}

const stores = {
  "in memory": () => new SessionStore({ autoCleanup: false }),
  "in memory, with a limit": () =>
    new SessionStore({ maxEntries: 1_000, autoCleanup: false }),
  "encrypted": () =>
    encrypted(new SessionStore({ autoCleanup: false }), {
      keys: [randomBytes(32)],
    }),
};

describe("bridge.sessions", () => {
  afterEach(closeServers);

  for (const [name, open] of Object.entries(stores)) {
    it(`lists each live session with what is known of it, ${name}`, async () => {
      const { bridge, browser } = await startServer({
        store: open(),
        user: ({ user }) => user as string,
        meta: () => ({ agent: "test" }),
      }, routesAndEvents);
      const ids: string[] = [];
      for (const user of ["ada", "bob", undefined]) {
        const one = browser();
        await one.post("/session", { json: { user, n: 1 } });
        ids.push((await one.get("/")).json.sessionId);
      }
      const all = await collect(bridge.sessions());
      const users = all.map(({ user }) => user).sort();
      assertEquals(users, ["ada", "bob", undefined]);
      const [ofAda] = await bridge.sessionsOf("ada");
      const ada = all.find(({ user }) => user === "ada")!;
      assertEquals(ada.handle, ofAda!.handle);
      assertEquals(ada.meta, { agent: "test" });
      assertEquals(ada.created, ofAda!.created);
      assertEquals(ada.expires, ofAda!.expires);
      const text = JSON.stringify(all);
      assertFalse(ids.some((id) => text.includes(id)));
    });
  }

  it("lists those that the process knows, on a basic store", async () => {
    const map = new Map<string, unknown>();
    const { bridge, browser } = await startServer({
      store: {
        get: (sid: string) => map.get(sid) as Record<string, unknown>,
        set: (sid: string, session: unknown) => void map.set(sid, session),
        destroy: (sid: string) => void map.delete(sid),
      },
    }, routesAndEvents);
    await browser().post("/session", { json: { n: 1 } });
    assertEquals((await collect(bridge.sessions())).length, 1);
    assertEquals(await bridge.destroyAll(), 1);
    assertEquals(map.size, 0);
  });

  it("refuses a store that cannot list its sessions", async () => {
    const store = new SessionStore({ autoCleanup: false });
    Object.defineProperty(store, "scan", { value: undefined });
    const { bridge } = await startServer({ store });
    await assertRejects(
      () => collect(bridge.sessions()),
      TypeError,
      "the store has no method scan",
    );
    await assertRejects(() => bridge.destroyAll(), TypeError, "scan");
  });
});

describe("bridge.destroyAll", () => {
  afterEach(closeServers);

  for (const [name, open] of Object.entries(stores)) {
    it(`ends all sessions, with their events and sockets, ${name}`, async () => {
      const { bridge, browser } = await startServer(
        { store: open() },
        routesAndEvents,
      );
      const ends: string[] = [];
      bridge.on("sessionEnd", ({ reason }) => ends.push(reason));
      const browsers = [browser(), browser(), browser()];
      for (const one of browsers) {
        await one.post("/session", { json: { n: 1 } });
      }
      const socket = await browsers[0]!.connect();
      assertEquals(await bridge.destroyAll(), 3);
      assertEquals(ends, ["revoked", "revoked", "revoked"]);
      const asked = await browsers[0]!.ask(socket, "get");
      assertEquals((asked as { code: string }).code, "SESSION_MISSING");
      for (const one of browsers) {
        assertEquals((await one.get("/session")).json.session, {});
      }
      assertEquals(await bridge.destroyAll(), 0);
    });
  }

  it("ends those of a condition", async () => {
    const { bridge, browser } = await startServer({
      user: ({ user }) => user as string,
    }, routesAndEvents);
    for (const user of ["ada", "bob", "ada"]) {
      await browser().post("/session", { json: { user } });
    }
    const ended = await bridge.destroyAll({
      where: ({ user }) => user === "ada",
    });
    assertEquals(ended, 2);
    assertEquals((await bridge.sessionsOf("bob")).length, 1);
  });

  it("ends a session that gets another id meanwhile", async () => {
    const store = new SessionStore({ autoCleanup: false });
    const { bridge } = await startServer({ store });
    for (let i = 0; i < 200; i++) {
      await store.write(newId(), record({ created: Date.now() }), null);
    }
    const [first] = [...store.keys()];
    let moving = first!;
    const mover = setInterval(() => {
      const found = store.read(moving);
      if (!found) return;
      const to = newId();
      const condition = { expected: found.version };
      const { status } = store.move(moving, to, found, condition, "follow");
      if (status === "done") moving = to;
    }, 0);
    try {
      await bridge.destroyAll();
    } finally {
      clearInterval(mover);
    }
    assertEquals(store.size, 0);
  });

  it("never blocks the event loop for long", async () => {
    const store = new SessionStore({ autoCleanup: false });
    const { bridge } = await startServer({ store });
    const count = 5_000;
    for (let i = 0; i < count; i++) store.write(newId(), record(), null);
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    assertEquals((await collect(bridge.sessions())).length, count);
    assertEquals(await bridge.destroyAll(), count);
    clearInterval(timer);
    assert(turns > 20, `${turns} turns`);
  });

  it("refuses a wrong condition, and ends nothing", async () => {
    const { bridge, browser } = await startServer({}, routesAndEvents);
    await browser().post("/session", { json: { n: 1 } });
    for (
      const [options, message] of [
        [{ where: "all" }, "where must be a function"],
        [{ where: undefined }, "where must be a function where it is given"],
        [{ where: () => 1 }, "where must return a boolean"],
        [{ where: () => Promise.resolve(true) }, "received a promise"],
        ["all", "options must be an object"],
      ] as const
    ) {
      await assertRejects(
        () => bridge.destroyAll(options as never),
        TypeError,
        message,
      );
    }
    assertEquals((await collect(bridge.sessions())).length, 1);
  });
});
