import { assertEquals, assertGreaterOrEqual, assertRejects } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import {
  closeScriptedServers,
  guest,
  inSession,
  inTurn,
  ScriptedServer,
} from "../support/scripted_server.ts";
import { deferred, settles } from "../support/wait.ts";

describe("client.refresh", () => {
  afterEach(closeScriptedServers);

  it("resolves to whether there is a session", async () => {
    const server = await ScriptedServer.open(inSession);
    const followed = server.follow();
    await followed.emits("active");
    server.answers = [204, 401];
    assertEquals(await followed.client.refresh(), true);
    assertEquals(await followed.client.refresh(), false);
    await followed.emits("active", "renewed");
    assertEquals(followed.client.state, "active");
  });

  it("connects a guest anew when it finds a session", async () => {
    const server = await ScriptedServer.open(inTurn(guest, inSession));
    const followed = server.follow();
    await followed.reaches("guest");
    server.answers = [204];
    assertEquals(await followed.client.refresh(), true);
    await followed.emits("renewed", "active");
    assertEquals(server.sockets.length, 2);
  });

  it("leaves a guest connected when it finds none", async () => {
    const server = await ScriptedServer.open(guest);
    const followed = server.follow();
    await followed.reaches("guest");
    assertEquals(await followed.client.refresh(), false);
    await followed.staysIdle();
    assertEquals(server.sockets.length, 1);
  });

  it("is one request for all that call at once", async () => {
    const server = await ScriptedServer.open(inSession);
    const { client } = server.follow();
    server.answers = [204];
    assertEquals(
      await Promise.all([client.refresh(), client.refresh()]),
      [true, true],
    );
    assertEquals(server.refreshes.length, 1);
  });

  it("retries with growing delays while the server has no answer", async () => {
    const server = await ScriptedServer.open(inSession);
    const { client } = server.follow({ minDelay: 40, maxDelay: 100 });
    server.answers = [503, 500, 502, 204];
    assertEquals(await client.refresh(), true);
    const [first, second, third] = server.refreshes.slice(1)
      .map((at, i) => at - server.refreshes[i]!) as [number, number, number];
    // half to the whole of 40, 80 and 100, less what a clock may be off
    assertGreaterOrEqual(first, 18);
    assertGreaterOrEqual(second, 38);
    assertGreaterOrEqual(third, 48);
  });

  it("gives up after so many attempts", async () => {
    const server = await ScriptedServer.open(inSession);
    const { client } = server.follow({ attempts: 3 });
    server.answers = [503];
    await assertRejects(
      () => client.refresh(),
      Error,
      "Cannot renew the session as the answer must be 2xx or 401: received 503",
    );
    assertEquals(server.refreshes.length, 3);
  });

  it("gives up at once where a retry is of no use", async () => {
    const server = await ScriptedServer.open(inSession);
    const { client } = server.follow();
    server.answers = [404];
    await assertRejects(() => client.refresh(), Error, "received 404");
    assertEquals(server.refreshes.length, 1);
  });

  it("calls the user's own function, and reads an error as no answer", async () => {
    const server = await ScriptedServer.open(inSession);
    let asked = 0;
    const { client } = server.follow({
      refresh: () => {
        if (++asked < 3) return Promise.reject(new Error("offline"));
        return Promise.resolve({ status: 200 });
      },
    });
    assertEquals(await client.refresh(), true);
    assertEquals(asked, 3);
    assertEquals(server.refreshes, []);
  });

  it("ends a function that does not settle when the client is closed", async () => {
    const server = await ScriptedServer.open(inSession);
    const asked = deferred();
    const { client } = server.follow({
      refresh: () => {
        asked.resolve();
        return new Promise<never>(() => {});
      },
    });
    const refreshing = client.refresh();
    await asked.promise;
    client.close();
    await assertRejects(() => settles(refreshing), Error, "closed");
  });
});
