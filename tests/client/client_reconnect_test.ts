/** How a client gets its socket back into a session, and when it leaves it alone. */
import { assert, assertEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import {
  closeScriptedServers,
  guest,
  inSession,
  inTurn,
  ScriptedServer,
} from "../support/scripted_server.ts";
import { once, settles, until } from "../support/wait.ts";

describe("the client's reconnection", () => {
  afterEach(closeScriptedServers);

  it("reconnects when HTTP has a session that the socket is not in", async () => {
    const server = await ScriptedServer.open(inTurn(guest, inSession));
    server.answers = [204];
    const followed = server.follow();
    await followed.emits("renewed", "active");
    assertEquals([server.sockets.length, server.refreshes.length], [2, 1]);
  });

  it("reconnects a socket whose server has no client for it", async () => {
    const server = await ScriptedServer.open(
      inTurn((socket) => socket.emit("session:none", { client: false }), guest),
    );
    const followed = server.follow();
    await until(() => server.sockets.length === 2, "a second connection");
    await followed.reaches("guest");
    await followed.staysIdle();
    assertEquals([server.sockets.length, server.refreshes.length], [2, 1]);
  });

  it("gives up where no cookie is ever kept", async () => {
    const server = await ScriptedServer.open((socket) =>
      socket.emit("session:none", { client: false })
    );
    const followed = server.follow();
    await until(() => server.sockets.length === 4, "four connections");
    await followed.reaches("guest");
    await followed.staysIdle();
    assertEquals([server.sockets.length, server.refreshes.length], [4, 3]);
  });

  it("reconnects after session:rotated with leave, once the new cookies are there", async () => {
    const server = await ScriptedServer.open(inSession);
    const followed = server.follow();
    await followed.emits("active");
    server.answers = [401, 204];
    server.last.emit("session:rotated", { sockets: "leave" });
    await followed.emits("active", "renewed", "active");
    assertEquals([server.sockets.length, server.refreshes.length], [2, 2]);
  });

  it("emits ended when the session was rotated without this browser", async () => {
    const server = await ScriptedServer.open(inTurn(inSession, guest));
    const followed = server.follow();
    await followed.emits("active");
    server.last.emit("session:rotated", { sockets: "leave" });
    await followed.emits("active", "ended: rotated");
    assertEquals(followed.client.state, "guest");
  });

  it("goes on after session:rotated with reconnect and the end of its connection, without a request", async () => {
    const server = await ScriptedServer.open(inSession);
    const followed = server.follow();
    await followed.emits("active");
    server.last.emit("session:rotated", { sockets: "reconnect" });
    await followed.reaches("connecting");
    assertEquals(followed.client.view, undefined);
    server.last.conn.close();
    await followed.emits("active", "active");
    assertEquals([server.sockets.length, server.refreshes.length], [2, 0]);
  });

  it("emits ended when it comes back as a guest after session:rotated with reconnect", async () => {
    const server = await ScriptedServer.open(inTurn(inSession, guest));
    const followed = server.follow();
    await followed.emits("active");
    server.last.emit("session:rotated", { sockets: "reconnect" });
    await followed.reaches("connecting");
    server.last.conn.close();
    await followed.emits("active", "ended: rotated");
    assertEquals(followed.client.state, "guest");
  });

  it("goes on after a guest's session:rotated with reconnect", async () => {
    const server = await ScriptedServer.open(inTurn(guest, inSession));
    const followed = server.follow();
    await followed.reaches("guest");
    server.last.emit("session:rotated", { sockets: "reconnect" });
    server.last.conn.close();
    await followed.emits("active");
    assertEquals(server.sockets.length, 2);
  });

  it("goes on after session:end and the end of its connection", async () => {
    const server = await ScriptedServer.open(inTurn(inSession, guest));
    const followed = server.follow();
    await followed.emits("active");
    server.last.emit("session:end", { reason: "logout" });
    server.last.conn.close();
    await until(() => server.sockets.length === 2, "the reconnection");
    await followed.reaches("guest");
    await followed.staysIdle();
    assertEquals(followed.events, ["active", "ended: logout"]);
  });

  it("stays where it is after session:rotated with follow", async () => {
    const server = await ScriptedServer.open(inSession);
    const followed = server.follow();
    await followed.emits("active");
    server.last.emit("session:rotated", { sockets: "follow" });
    await followed.staysIdle();
    assertEquals(followed.client.state, "active");
    assertEquals([server.sockets.length, server.refreshes.length], [1, 0]);
  });

  it("opens a socket again that was closed with its session", async () => {
    const server = await ScriptedServer.open(inTurn(inSession, guest));
    const followed = server.follow();
    await followed.emits("active");
    server.last.emit("session:end", { reason: "expired" });
    server.last.disconnect();
    await until(() => server.sockets.length === 2, "a second connection");
    await followed.reaches("guest");
    assertEquals(followed.events, ["active", "ended: expired"]);
    assertEquals(server.refreshes.length, 1);
  });

  it("leaves a socket alone that the server closed for reasons of its own", async () => {
    const server = await ScriptedServer.open(inSession);
    const followed = server.follow();
    await followed.emits("active");
    server.last.disconnect();
    await followed.reaches("connecting");
    await followed.staysIdle();
    assertEquals(followed.socket.active, false);
    assertEquals([server.sockets.length, server.refreshes.length], [1, 0]);
  });

  it("leaves a socket alone that the user disconnected, also while healing", async () => {
    const server = await ScriptedServer.open(inTurn(inSession, guest));
    const followed = server.follow();
    await followed.emits("active");
    server.last.emit("session:rotated", { sockets: "leave" });
    await once(followed.socket, "session:rotated");
    followed.socket.disconnect();
    await followed.staysIdle();
    assertEquals(followed.socket.active, false);
    assertEquals(server.sockets.length, 1);
    followed.socket.connect();
    await followed.emits("active", "ended: rotated");
  });

  it("tries again when the handshake fails as the store is down", async () => {
    const server = await ScriptedServer.open(inSession);
    let failures = 3;
    server.io.use((_socket, next) => {
      if (failures-- <= 0) return next();
      const error = new Error("Cannot read the session");
      next(Object.assign(error, { data: { code: "SESSION_STORE" } }));
    });
    const followed = server.follow();
    await followed.emits("active");
  });

  it("stays disconnected where another middleware refuses it", async () => {
    const server = await ScriptedServer.open();
    let refused = 0;
    server.io.use((_socket, next) => {
      refused++;
      next(new Error("members only"));
    });
    const followed = server.follow();
    await followed.reaches("guest");
    await followed.staysIdle();
    assertEquals([refused, server.refreshes.length], [1, 1]);
  });

  it("connects where it was refused for a cookie that was not there yet", async () => {
    const server = await ScriptedServer.open(inSession);
    let handshakes = 0;
    server.io.use((_socket, next) =>
      next(++handshakes === 1 ? new Error("members only") : undefined)
    );
    server.answers = [204];
    const followed = server.follow();
    await followed.emits("renewed", "active");
  });

  it("reconnects the other namespaces on the new connection", async () => {
    const server = await ScriptedServer.open(inTurn(guest, inSession));
    const seen: string[] = [];
    server.io.of("/other").on("connection", (socket) => {
      seen.push(socket.conn.transport.sid);
    });
    server.answers = [204];
    const followed = server.follow();
    const other = followed.socket.io.socket("/other");
    await settles(once(other, "connect"), "the other namespace");
    await followed.emits("renewed", "active");
    await until(() => seen.length === 2, "the other namespace again");
    assert(other.connected);
    other.disconnect();
  });
});
