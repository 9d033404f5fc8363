import { SessionStore } from "@koa-io/session";
import { encrypted } from "@koa-io/session/encrypted";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { randomBytes } from "node:crypto";
import { HOUR, newId, record } from "../support/stores/records.ts";
import { routesAndEvents } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";

const key = () => randomBytes(32);

describe("encrypted", () => {
  afterEach(closeServers);

  it("is a store for sessions, their sockets and their events", async () => {
    const store = encrypted(new SessionStore({ autoCleanup: false }), {
      keys: [key()],
    });
    const { bridge, browser } = await startServer({
      store,
      user: ({ user }) => user as string,
    }, routesAndEvents);
    const ends: string[] = [];
    bridge.on("sessionEnd", ({ reason }) => ends.push(reason));
    const ada = browser();
    await ada.post("/session", { json: { user: "ada", n: 1 } });
    const socket = await ada.connect();
    assertEquals(await ada.ask(socket, "add"), 2);
    assertEquals((await ada.get("/session")).json.session.n, 2);
    assertEquals((await bridge.sessionsOf("ada")).length, 1);
    assertEquals(await bridge.destroyUser("ada"), 1);
    assertEquals((await ada.get("/session")).json.session, {});
    assertEquals(ends.at(-1), "revoked");
  });

  it("reports what its store removes", async () => {
    const inner = new SessionStore({ autoCleanup: false });
    const store = encrypted(inner, { keys: [key()] });
    const { bridge, browser } = await startServer({ store }, routesAndEvents);
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    const { json } = await ada.get("/");
    const ended = new Promise((resolve) => bridge.once("sessionEnd", resolve));
    await store.destroy(json.sessionId);
    assertEquals((await ended as { reason: string }).reason, "revoked");
  });

  it("stores neither ids nor data", async () => {
    const inner = new SessionStore({ autoCleanup: false });
    const store = encrypted(inner, { keys: [key()] });
    const sid = newId();
    const clientId = newId("client");
    await store.begin(
      sid,
      record({
        data: '{"text":"confidential"}',
        clientId,
        user: "ada",
        meta: '{"address":"::1"}',
      }),
    );
    const [id] = [...inner.keys()];
    const text = JSON.stringify([id, inner.read(id!)]);
    for (const secret of [sid, clientId, "ada", "confidential", "::1"]) {
      assert(!text.includes(secret), secret);
    }
    assertEquals((await store.read(sid))?.user, "ada");
    assertEquals((await store.read(sid))?.meta, '{"address":"::1"}');
  });

  it("encrypts the same data differently each time", async () => {
    const inner = new SessionStore({ autoCleanup: false });
    const store = encrypted(inner, { keys: [key()] });
    const texts = new Set<string>();
    for (let i = 0; i < 20; i++) await store.write(newId(), record(), null);
    for (const id of inner.keys()) texts.add(inner.read(id)!.data);
    assertEquals(texts.size, 20);
  });

  it("finds sessions of every key, and moves each to the first one when it is written", async () => {
    const inner = new SessionStore({ autoCleanup: false });
    const [former, present] = [key(), key()];
    const before = encrypted(inner, { keys: [former] });
    const between = encrypted(inner, { keys: [present, former] });
    const after = encrypted(inner, { keys: [present] });
    const sid = newId();
    const clientId = newId("client");
    await before.begin(sid, record({ clientId, user: "ada" }));
    assertEquals(await between.byClient(clientId), sid);
    assertEquals(await between.byUser("ada"), [sid]);
    assertEquals(await after.read(sid), undefined);
    const read = await between.read(sid);
    const next = record({ clientId, user: "ada", data: '{"n":1}' });
    assert(await between.write(sid, next, read!.version));
    assertEquals(inner.size, 1);
    assertEquals((await after.read(sid))?.data, '{"n":1}');
    assertEquals(await after.byClient(clientId), sid);
    assertEquals(await after.byUser("ada"), [sid]);
    assertEquals(await before.read(sid), undefined);
  });

  it("moves a session to the first key when its life is extended", async () => {
    const inner = new SessionStore({ autoCleanup: false });
    const [former, present] = [key(), key()];
    const sid = newId();
    await encrypted(inner, { keys: [former] }).write(sid, record(), null);
    const between = encrypted(inner, { keys: [present, former] });
    const end = Date.now() + 2 * HOUR;
    assertEquals(await between.extend(sid, end), true);
    const after = encrypted(inner, { keys: [present] });
    assertEquals((await after.read(sid))?.expires, end);
  });

  it("replaces a session of a former key, and follows its moves and ends", async () => {
    const inner = new SessionStore({ autoCleanup: false });
    const [former, present] = [key(), key()];
    const before = encrypted(inner, { keys: [former] });
    const between = encrypted(inner, { keys: [present, former] });
    const clientId = newId("client");
    const [first, second, third] = [newId(), newId(), newId()];
    await before.begin(first, record({ clientId }));
    const begun = await between.begin(second, record({ clientId }));
    assertEquals(begun.status === "begun" && begun.before, first);
    assertEquals(await between.destroy(first, "a note"), true);
    assertEquals((await between.former(first))?.note, "a note");
    const [moving] = [newId()];
    await before.write(moving, record(), null);
    const { version } = (await between.read(moving))!;
    const condition = { expected: version };
    const moved = await between.move(
      moving,
      third,
      record(),
      condition,
      "follow",
    );
    assertEquals(moved.status, "done");
    const kept = await between.former(moving);
    assertEquals(kept?.to, third);
    assertEquals(kept?.note, "follow");
  });

  it("logs nobody out when keys change", async () => {
    const inner = new SessionStore({ autoCleanup: false });
    const [former, present] = [key(), key()];
    const first = await startServer(
      { store: encrypted(inner, { keys: [former] }) },
      routesAndEvents,
    );
    const ada = first.browser();
    await ada.post("/session", { json: { user: "ada", n: 1 } });
    await first.close();
    const second = await startServer(
      { store: encrypted(inner, { keys: [present, former] }) },
      routesAndEvents,
      { port: first.port },
    );
    const back = second.browser(ada.jar);
    const socket = await back.connect();
    assertEquals(await back.ask(socket, "add"), 2);
    await second.close();
    const third = await startServer(
      { store: encrypted(inner, { keys: [present] }) },
      routesAndEvents,
      { port: first.port },
    );
    const again = third.browser(ada.jar);
    assertEquals((await again.get("/session")).json.session.n, 2);
  });

  it("takes what does not decrypt for no session, and reports an error without an id", async () => {
    const inner = new SessionStore({ autoCleanup: false });
    const store = encrypted(inner, { keys: [key()] });
    const { bridge, browser } = await startServer({ store }, routesAndEvents);
    const errors: Error[] = [];
    bridge.on("error", (error) => errors.push(error as Error));
    const ada = browser();
    await ada.post("/session", { json: { n: 1 } });
    const { json } = await ada.get("/");
    const [id] = [...inner.keys()];
    const stored = inner.read(id!)!;
    const changed = stored.data.replace(/.{4}"}$/, 'AAAA"}');
    inner.write(id!, { ...stored, data: changed }, stored.version);
    assertEquals((await ada.get("/session")).json.session, {});
    assertEquals(await bridge.peek(json.sessionId), undefined);
    assert(errors.length > 0);
    for (const { message } of errors) {
      assertStringIncludes(message, "Cannot decrypt a session");
      assert(!message.includes(json.sessionId) && !message.includes(id!));
    }
    await assertRejects(
      () => bridge.withSession(json.sessionId, () => 1),
      Error,
      "Session missing",
    );
  });

  it("does not decrypt what was copied from another session, or by another key", async () => {
    const inner = new SessionStore({ autoCleanup: false });
    const store = encrypted(inner, { keys: [key()] });
    const [a, b] = [newId(), newId()];
    await store.write(a, record({ data: '{"user":"admin"}' }), null);
    const [idOfA] = [...inner.keys()];
    await store.write(b, record(), null);
    const idOfB = [...inner.keys()].find((id) => id !== idOfA)!;
    const { version } = inner.read(idOfB)!;
    inner.write(idOfB, inner.read(idOfA!)!, version);
    assertEquals(await store.read(b), undefined);
    const other = encrypted(inner, { keys: [key()] });
    assertEquals(await other.read(a), undefined);
  });

  it("refuses wrong keys and stores by name, without their values", () => {
    const inner = new SessionStore({ autoCleanup: false });
    const short = "c2hvcnQta2V5";
    for (
      const [keys, name] of [
        [undefined, "keys"],
        [[], "keys"],
        ["a text", "keys"],
        [[short], "keys[0]"],
        [[key(), randomBytes(16)], "keys[1]"],
        [[key(), randomBytes(33).toString("base64url")], "keys[1]"],
        [["not base64url: +/!"], "keys[0]"],
        [[42], "keys[0]"],
        [[new Uint8Array(32)], "keys[0]"],
      ] as const
    ) {
      const error = assertThrows(
        () => encrypted(inner, { keys } as never),
        TypeError,
        `as ${name} must be`,
      );
      assert(!error.message.includes(short));
    }
    const one = key();
    assertThrows(
      () => encrypted(inner, { keys: [one, one.toString("base64url")] }),
      TypeError,
      "the same key more than once",
    );
    assertThrows(() => encrypted(inner, undefined as never), TypeError);
    const basic = { get() {}, set() {}, destroy() {} };
    for (const store of [basic, null, "store"]) {
      assertThrows(
        () => encrypted(store as never, { keys: [one] }),
        TypeError,
        "store must be an atomic store",
      );
    }
    const store = encrypted(inner, { keys: [one] });
    assertThrows(
      () => encrypted(store, { keys: [key()] }),
      TypeError,
      "an encrypted one",
    );
  });

  it("takes keys in base64url", async () => {
    const inner = new SessionStore({ autoCleanup: false });
    const one = key();
    const sid = newId();
    const text = encrypted(inner, { keys: [one.toString("base64url")] });
    await text.write(sid, record(), null);
    assert(await encrypted(inner, { keys: [new Uint8Array(one)] }).read(sid));
  });

  it("is closed with its store", async () => {
    let closed = 0;
    const inner = Object.assign(new SessionStore({ autoCleanup: false }), {
      close: () => closed++,
    });
    const store = encrypted(inner, { keys: [key()] });
    await (store as unknown as { close(): unknown }).close();
    assertEquals(closed, 1);
  });
});
