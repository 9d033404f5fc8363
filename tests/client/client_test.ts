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
  closeStages,
  guest,
  inSession,
  inTurn,
  Stage,
} from "../support/followed.ts";
import { deferred, once, until } from "../support/wait.ts";

function authOf(socket: Socket): Record<string, unknown> {
  return socket.handshake.auth;
}

describe("followSession", () => {
  afterEach(closeStages);

  it("refuses to be made without a way to refresh", async () => {
    const { url } = await Stage.open();
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

  it("tells the server that somebody follows, beside what the user tells", async () => {
    const server = await Stage.open(guest);
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

  it("tells so again when the user has set another auth", async () => {
    const server = await Stage.open(
      inTurn((socket) => socket.emit("session:none", { client: false }), guest),
    );
    const followed = server.follow();
    followed.socket.auth = { token: "new" };
    await followed.stands("guest");
    await until(() => server.sockets.length === 2, "the second connection");
    assertEquals(authOf(server.last), { token: "new", "koa-io-session": 1 });
  });

  it("leaves the object that the user gave as it is", async () => {
    const server = await Stage.open(guest);
    const auth = Object.freeze({ token: "t" });
    const { client, socket } = server.follow({}, server.socket({ auth }));
    assertEquals(auth, { token: "t" });
    client.close();
    assertEquals(socket.auth, { token: "t" });
  });

  it("connects a socket anew that is connected already", async () => {
    const server = await Stage.open(
      (socket) => authOf(socket)["koa-io-session"] && inSession(socket, 0),
    );
    const socket = server.socket();
    await once(socket, "connect");
    const followed = server.follow({}, socket);
    await followed.tells("active");
    assertEquals(server.sockets.length, 2);
  });

  it("takes a socket with typed events", () => {
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
  afterEach(closeStages);

  it("is active, without any request, where the handshake brought the session", async () => {
    const server = await Stage.open(inSession);
    const followed = server.follow();
    assertEquals(followed.client.state, "connecting");
    await followed.tells("active");
    assertEquals(followed.client.state, "active");
    server.last.emit("session:start");
    await followed.rests();
    assertEquals(followed.told, ["active"]);
    assertEquals(server.asked, []);
  });

  it("is active after a login once the browser has the cookie", async () => {
    const server = await Stage.open(guest);
    const followed = server.follow();
    await followed.stands("guest");
    server.answers = [401, 401, 204];
    server.asked.length = 0;
    server.last.emit("session:start");
    await followed.tells("renewed", "active");
    assertEquals(server.asked.length, 3);
    assertEquals(server.sockets.length, 1);
  });

  it("is active after a login even where HTTP says no more than an error", async () => {
    const server = await Stage.open(guest);
    const followed = server.follow();
    await followed.stands("guest");
    server.answers = [404];
    server.last.emit("session:start");
    await followed.tells("active");
  });

  it("does not become active when the session ends before its cookie is there", async () => {
    const server = await Stage.open(guest);
    const followed = server.follow({ minDelay: 40, maxDelay: 40 });
    await followed.stands("guest");
    server.asked.length = 0;
    server.last.emit("session:start");
    await until(() => server.asked.length > 0, "a request");
    server.last.emit("session:end", { reason: "revoked" });
    await followed.tells("ended: revoked");
    server.answers = [204];
    await followed.rests();
    assertEquals(followed.told, ["ended: revoked"]);
    assertEquals(followed.client.state, "guest");
  });

  it("is guest after the session's end, on the same connection", async () => {
    const server = await Stage.open(inSession);
    const followed = server.follow();
    await followed.tells("active");
    server.last.emit("session:end", { reason: "logout" });
    await followed.tells("active", "ended: logout");
    assertEquals(followed.client.state, "guest");
    await followed.rests();
    assertEquals([server.sockets.length, server.asked.length], [1, 0]);
    server.answers = [204];
    server.last.emit("session:start");
    await followed.tells("active", "ended: logout", "renewed", "active");
  });

  it("is connecting while the server is away, and active again after", async () => {
    const server = await Stage.open(inSession);
    const followed = server.follow();
    await followed.tells("active");
    const { port } = server;
    await server.stop();
    await followed.stands("connecting");
    const again = await Stage.open(inSession, port);
    await followed.tells("active", "active");
    assertEquals(again.asked, []);
  });

  it("is guest, and told of an end, when the session ended while away", async () => {
    const server = await Stage.open(inTurn(inSession, guest));
    const followed = server.follow();
    await followed.tells("active");
    followed.socket.io.engine.close();
    await followed.tells("active", "ended: away");
    assertEquals(followed.client.state, "guest");
    assertEquals(server.asked.length, 1);
  });

  it("asks once as a guest at the start, and rests then", async () => {
    const server = await Stage.open(guest);
    const followed = server.follow();
    await followed.stands("guest");
    await followed.rests();
    assertEquals(followed.told, []);
    assertEquals([server.sockets.length, server.asked.length], [1, 1]);
  });
});

describe("client.view", () => {
  afterEach(closeStages);

  it("is what the server sent last, and gone with the session", async () => {
    const server = await Stage.open(inSession);
    const followed = server.follow<string>();
    await followed.tells("active");
    assertEquals(followed.client.view, undefined);
    server.last.emit("session:view", "Ada");
    server.last.emit("session:view", "Grace");
    await followed.tells("active", "view: Ada", "view: Grace");
    assertEquals(followed.client.view, "Grace");
    server.last.emit("session:end", { reason: "logout" });
    await followed.stands("guest");
    assertEquals(followed.client.view, undefined);
  });

  it("hears of an end that comes near", async () => {
    const server = await Stage.open(inSession);
    const followed = server.follow();
    await followed.tells("active");
    server.last.emit("session:expiring", { inMs: 500 });
    await followed.tells("active", "expiring: 500");
  });
});

describe("client.on", () => {
  afterEach(closeStages);

  it("returns what removes the listener", async () => {
    const server = await Stage.open(inSession);
    const followed = server.follow();
    let heard = 0;
    const remove = followed.client.on("expiring", () => heard++);
    await followed.tells("active");
    server.last.emit("session:expiring", { inMs: 2 });
    await followed.tells("active", "expiring: 2");
    remove();
    server.last.emit("session:expiring", { inMs: 1 });
    await followed.tells("active", "expiring: 2", "expiring: 1");
    assertEquals(heard, 1);
  });
});

describe("client.close", () => {
  afterEach(closeStages);

  it("undoes everything, and leaves the socket connected", async () => {
    const server = await Stage.open(inSession);
    const socket = server.socket({ auth: { token: "t" } });
    const before = ["connect", "disconnect", "connect_error", "session:start"]
      .map((event) => socket.listeners(event as "connect").length);
    const followed = server.follow({}, socket);
    await followed.tells("active");
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
    assertEquals(followed.told, ["active"]);
  });

  it("gives the user's function back", async () => {
    const server = await Stage.open(guest);
    const auth = (back: (data: object) => void) => back({});
    const { client, socket } = server.follow({}, server.socket({ auth }));
    client.close();
    assertEquals(socket.auth, auth);
  });

  it("ends what is under way", async () => {
    const server = await Stage.open(guest);
    const answer = deferred<{ status: number }>();
    const followed = server.follow({ refresh: () => answer.promise });
    const refreshed = followed.client.refresh();
    followed.client.close();
    answer.resolve({ status: 204 });
    await assertRejects(() => refreshed, Error, "the client is closed");
    await assertRejects(() => followed.client.refresh(), Error, "closed");
    assertEquals(followed.told, []);
  });

  it("ends a wait", async () => {
    const server = await Stage.open(inSession);
    const followed = server.follow({ minDelay: 60_000, maxDelay: 60_000 });
    server.answers = [503];
    const refreshed = followed.client.refresh();
    await until(() => server.asked.length === 1, "a request");
    const from = Date.now();
    await followed.rests();
    followed.client.close();
    await assertRejects(() => refreshed, Error, "closed");
    assertLess(Date.now() - from, 5_000);
    assertLessOrEqual(server.asked.length, 1);
  });
});
