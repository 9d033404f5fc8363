import {
  assert,
  assertEquals,
  assertLess,
  assertLessOrEqual,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import type { Socket } from "socket.io";
import type { Socket as ClientSocket } from "socket.io-client";
import { followSession } from "@koa-io/session/client";
import {
  closeScriptedServers,
  guest,
  inSession,
  inTurn,
  ScriptedServer,
} from "../support/scripted_server.ts";
import { deferred, once, until } from "../support/wait.ts";

function authOf(socket: Socket): Record<string, unknown> {
  return socket.handshake.auth;
}

describe("followSession", () => {
  afterEach(closeScriptedServers);

  it("refuses to be made without a way to refresh", async () => {
    const { url } = await ScriptedServer.open();
    const socket = {} as ClientSocket;
    for (const options of [undefined, {}, { refresh: undefined }]) {
      assertThrows(
        () => followSession(socket, options as unknown as { refresh: string }),
        TypeError,
        "Cannot follow the session as refresh must be a path, a URL or a function: received undefined",
      );
    }
    assert(url);
  });

  it("adds its flag to the auth of the user", async () => {
    const server = await ScriptedServer.open(guest);
    const key = "koa-io-session";
    const told = async (auth?: ClientSocket["auth"]) => {
      const n = server.sockets.length;
      server.follow({}, server.socket(auth ? { auth } : {}));
      await until(() => server.sockets.length > n, "the connection");
      return authOf(server.last);
    };
    assertEquals(await told(), { [key]: 1 });
    assertEquals(await told({ token: "t" }), { token: "t", [key]: 1 });
    assertEquals(await told((back) => back({ token: "t" })), {
      token: "t",
      [key]: 1,
    });
  });

  it("adds its flag again when the user has set another auth", async () => {
    const server = await ScriptedServer.open(
      inTurn((socket) => socket.emit("session:none", { client: false }), guest),
    );
    const followed = server.follow();
    followed.socket.auth = { token: "new" };
    await followed.reaches("guest");
    await until(() => server.sockets.length === 2, "the second connection");
    assertEquals(authOf(server.last), { token: "new", "koa-io-session": 1 });
  });

  it("leaves the object that the user gave as it is", async () => {
    const server = await ScriptedServer.open(guest);
    const auth = Object.freeze({ token: "t" });
    const { client, socket } = server.follow({}, server.socket({ auth }));
    assertEquals(auth, { token: "t" });
    client.close();
    assertEquals(socket.auth, { token: "t" });
  });

  it("reconnects a socket that is already connected", async () => {
    const server = await ScriptedServer.open(
      (socket) => authOf(socket)["koa-io-session"] && inSession(socket, 0),
    );
    const socket = server.socket();
    await once(socket, "connect");
    const followed = server.follow({}, socket);
    await followed.emits("active");
    assertEquals(server.sockets.length, 2);
  });

  it("accepts a socket with typed events", () => {
    const typed = (
      socket: ClientSocket<
        { news: (text: string) => void },
        { ask: () => void }
      >,
    ) => followSession(socket, { refresh: "/refresh" });
    assert(typed);
  });
});

describe("client.state", () => {
  afterEach(closeScriptedServers);

  it("is active, without any request, where the handshake brought the session", async () => {
    const server = await ScriptedServer.open(inSession);
    const followed = server.follow();
    assertEquals(followed.client.state, "connecting");
    await followed.emits("active");
    assertEquals(followed.client.state, "active");
    server.last.emit("session:start");
    await followed.staysIdle();
    assertEquals(followed.events, ["active"]);
    assertEquals(server.refreshes, []);
  });

  it("is active after a login once the browser has the cookie", async () => {
    const server = await ScriptedServer.open(guest);
    const followed = server.follow();
    await followed.reaches("guest");
    server.answers = [401, 401, 204];
    server.refreshes.length = 0;
    server.last.emit("session:start");
    await followed.emits("renewed", "active");
    assertEquals(server.refreshes.length, 3);
    assertEquals(server.sockets.length, 1);
  });

  it("is active after a login even where HTTP answers with an error", async () => {
    const server = await ScriptedServer.open(guest);
    const followed = server.follow();
    await followed.reaches("guest");
    server.answers = [404];
    server.last.emit("session:start");
    await followed.emits("active");
  });

  it("does not become active when the session ends before its cookie is there", async () => {
    const server = await ScriptedServer.open(guest);
    const followed = server.follow({ minDelay: 40, maxDelay: 40 });
    await followed.reaches("guest");
    server.refreshes.length = 0;
    server.last.emit("session:start");
    await until(() => server.refreshes.length > 0, "a request");
    server.last.emit("session:end", { reason: "revoked" });
    await followed.emits("ended: revoked");
    server.answers = [204];
    await followed.staysIdle();
    assertEquals(followed.events, ["ended: revoked"]);
    assertEquals(followed.client.state, "guest");
  });

  it("is guest after the session's end, on the same connection", async () => {
    const server = await ScriptedServer.open(inSession);
    const followed = server.follow();
    await followed.emits("active");
    server.last.emit("session:end", { reason: "logout" });
    await followed.emits("active", "ended: logout");
    assertEquals(followed.client.state, "guest");
    await followed.staysIdle();
    assertEquals([server.sockets.length, server.refreshes.length], [1, 0]);
    server.answers = [204];
    server.last.emit("session:start");
    await followed.emits("active", "ended: logout", "renewed", "active");
  });

  it("is connecting while the server is away, and active again after", async () => {
    const server = await ScriptedServer.open(inSession);
    const followed = server.follow();
    await followed.emits("active");
    const { port } = server;
    await server.stop();
    await followed.reaches("connecting");
    const again = await ScriptedServer.open(inSession, port);
    await followed.emits("active", "active");
    assertEquals(again.refreshes, []);
  });

  it("is guest, and emits ended, when the session ended during a disconnect", async () => {
    const server = await ScriptedServer.open(inTurn(inSession, guest));
    const followed = server.follow();
    await followed.emits("active");
    followed.socket.io.engine.close();
    await followed.emits("active", "ended: away");
    assertEquals(followed.client.state, "guest");
    assertEquals(server.refreshes.length, 1);
  });

  it("refreshes once as a guest at the start, and not again", async () => {
    const server = await ScriptedServer.open(guest);
    const followed = server.follow();
    await followed.reaches("guest");
    await followed.staysIdle();
    assertEquals(followed.events, []);
    assertEquals([server.sockets.length, server.refreshes.length], [1, 1]);
  });
});

describe("client.view", () => {
  afterEach(closeScriptedServers);

  it("is the last one from the server, and undefined after the session", async () => {
    const server = await ScriptedServer.open(inSession);
    const followed = server.follow<string>();
    await followed.emits("active");
    assertEquals(followed.client.view, undefined);
    server.last.emit("session:view", "Ada");
    server.last.emit("session:view", "Grace");
    await followed.emits("active", "view: Ada", "view: Grace");
    assertEquals(followed.client.view, "Grace");
    server.last.emit("session:end", { reason: "logout" });
    await followed.reaches("guest");
    assertEquals(followed.client.view, undefined);
  });

  it("emits expiring before the end", async () => {
    const server = await ScriptedServer.open(inSession);
    const followed = server.follow();
    await followed.emits("active");
    server.last.emit("session:expiring", { inMs: 500 });
    await followed.emits("active", "expiring: 500");
  });
});

describe("client.on", () => {
  afterEach(closeScriptedServers);

  it("returns what removes the listener", async () => {
    const server = await ScriptedServer.open(inSession);
    const followed = server.follow();
    let heard = 0;
    const remove = followed.client.on("expiring", () => heard++);
    await followed.emits("active");
    server.last.emit("session:expiring", { inMs: 2 });
    await followed.emits("active", "expiring: 2");
    remove();
    server.last.emit("session:expiring", { inMs: 1 });
    await followed.emits("active", "expiring: 2", "expiring: 1");
    assertEquals(heard, 1);
  });
});

describe("client.close", () => {
  afterEach(closeScriptedServers);

  it("undoes everything, and leaves the socket connected", async () => {
    const server = await ScriptedServer.open(inSession);
    const socket = server.socket({ auth: { token: "t" } });
    const before = ["connect", "disconnect", "connect_error", "session:start"]
      .map((event) => socket.listeners(event as "connect").length);
    const followed = server.follow({}, socket);
    await followed.emits("active");
    followed.client.close();
    followed.client.close();
    assertEquals(followed.client.state, "closed");
    const after = ["connect", "disconnect", "connect_error", "session:start"]
      .map((event) => socket.listeners(event as "connect").length);
    assertEquals(after, before);
    assertEquals(socket.auth, { token: "t" });
    assert(socket.connected);
    server.last.emit("session:end", { reason: "logout" });
    await once(socket, "session:end");
    assertEquals(followed.events, ["active"]);
  });

  it("gives the user's function back", async () => {
    const server = await ScriptedServer.open(guest);
    const auth = (back: (data: object) => void) => back({});
    const { client, socket } = server.follow({}, server.socket({ auth }));
    client.close();
    assertEquals(socket.auth, auth);
  });

  it("ends what is under way", async () => {
    const server = await ScriptedServer.open(guest);
    const answer = deferred<{ status: number }>();
    const followed = server.follow({ refresh: () => answer.promise });
    const refreshed = followed.client.refresh();
    followed.client.close();
    answer.resolve({ status: 204 });
    await assertRejects(() => refreshed, Error, "the client is closed");
    await assertRejects(() => followed.client.refresh(), Error, "closed");
    assertEquals(followed.events, []);
  });

  it("ends a wait", async () => {
    const server = await ScriptedServer.open(inSession);
    const followed = server.follow({ minDelay: 60_000, maxDelay: 60_000 });
    server.answers = [503];
    const refreshed = followed.client.refresh();
    await until(() => server.refreshes.length === 1, "a request");
    const from = Date.now();
    await followed.staysIdle();
    followed.client.close();
    await assertRejects(() => refreshed, Error, "closed");
    assertLess(Date.now() - from, 5_000);
    assertLessOrEqual(server.refreshes.length, 1);
  });
});
