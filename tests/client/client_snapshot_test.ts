import { followSession, type SessionSnapshot } from "@koa-io/session/client";
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { sessionRoutes } from "../support/routes.ts";
import { closeServers, startServer } from "../support/server.ts";
import { until } from "../support/wait.ts";

/** A server with the route of a client, a browser, and a client of its socket. */
async function start(loggedIn: boolean) {
  const { browser, io } = await startServer({
    view: ({ n }) => ({ n: n as number }),
  }, (parts) => {
    const refresh = parts.bridge.refresh();
    parts.app.use((ctx, next) =>
      ctx.path === "/refresh" ? refresh(ctx) : next()
    );
    sessionRoutes(parts.app);
  });
  const ada = browser();
  await ada.get("/");
  if (loggedIn) await ada.post("/session", { json: { n: 1 } });
  const socket = ada.socket("/", { reconnection: true, reconnectionDelay: 50 });
  const client = followSession<{ n: number }>(socket, {
    minDelay: 20,
    refresh: () => ada.post("/refresh"),
  });
  const states: string[] = [];
  client.on("state", ({ state }) => states.push(state));
  socket.connect();
  return { ada, io, client, states, socket };
}

describe("SessionClient.getSnapshot", () => {
  afterEach(closeServers);

  it("is one object until something changes, and never changes itself", async () => {
    const { ada, client, states } = await start(false);
    const seen: SessionSnapshot<{ n: number }>[] = [];
    const { subscribe, getSnapshot } = client;
    const stop = subscribe((snapshot) => {
      assertStrictEquals(snapshot, getSnapshot());
      seen.push(snapshot);
    });
    const first = getSnapshot();
    assertStrictEquals(getSnapshot(), first);
    assertEquals(first, {
      state: "connecting",
      view: undefined,
      reason: undefined,
      reconnecting: false,
    });
    await until(() => client.state === "guest", "the guest");
    await ada.post("/session", { json: { n: 1 } });
    await until(() => getSnapshot().view?.n === 1, "the view");
    await until(() => client.state === "active", "the session");
    await ada.post("/session", { json: { n: 2 } });
    await until(() => getSnapshot().view?.n === 2, "the next view");
    await ada.post("/logout");
    await until(() => client.state === "guest", "the logout");
    assertEquals(getSnapshot().reason, "logout");
    assertEquals(getSnapshot().view, undefined);
    stop();
    const count = seen.length;
    client.close();
    assertEquals(seen.length, count);
    assertEquals(new Set(seen).size, count);
    assertEquals(first.state, "connecting");
    assertEquals(states.filter((state, i) => state === states[i - 1]), []);
    assertEquals(states.at(0), "guest");
    assertEquals(states.at(-1), "closed");
  });

  it("distinguishes a lost connection from a guest", async () => {
    const { io, client, socket } = await start(true);
    await until(() => client.state === "active", "the session");
    assertEquals(client.getSnapshot().reconnecting, false);
    const lost: boolean[] = [];
    client.subscribe(({ reconnecting }) => lost.push(reconnecting));
    for (const one of io.of("/").sockets.values()) one.conn.close();
    await until(() => lost.includes(true), "the loss");
    await until(() => client.state === "active", "the session again");
    assert(socket.connected);
    assertEquals(client.getSnapshot().reconnecting, false);
    client.close();
  });
});
