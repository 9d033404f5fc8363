import { assertEquals, assertRejects } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { serverSocketOf, type TestSocket } from "../support/app.ts";
import { routesAndEvents } from "../support/routes.ts";
import { closeServers, type Stand, startServer } from "../support/server.ts";
import { deferred, settles } from "../support/wait.ts";

/** A browser with a session `{ n: 0 }` and some sockets in it. */
async function sockets(stand: Stand, count: number): Promise<TestSocket[]> {
  const browser = stand.browser();
  await browser.post("/session", { json: { n: 0 } });
  await browser.get("/");
  const clients = await Promise.all(
    Array.from({ length: count }, () => browser.connect()),
  );
  return clients.map((client) => serverSocketOf(stand.io, client));
}

/** Reads, yields, writes: loses updates unless calls are serialised. */
const slowAdd = (socket: TestSocket) =>
  socket.withSession(async ({ session }) => {
    const { n } = session!;
    await new Promise((resolve) => setTimeout(resolve, 1));
    return session!.n = n! + 1;
  });

describe("socket.withSession calls for one session", () => {
  afterEach(closeServers);

  it("run one after another, in the order of their arrival", async () => {
    const stand = await startServer({}, routesAndEvents);
    const [socket] = await sockets(stand, 1) as [TestSocket];
    const results = await Promise.all(
      Array.from({ length: 20 }, () => slowAdd(socket)),
    );
    assertEquals(results, Array.from({ length: 20 }, (_, i) => i + 1));
  });

  it("run in order across sockets, too", async () => {
    const stand = await startServer({}, routesAndEvents);
    const [one, two, three] = await sockets(stand, 3) as [
      TestSocket,
      TestSocket,
      TestSocket,
    ];
    const calls = Array.from({ length: 8 }, () => [one, two, three]).flat();
    const results = await Promise.all(calls.map(slowAdd));
    assertEquals(results, calls.map((_, i) => i + 1));
  });

  it("never overlap", async () => {
    const stand = await startServer({}, routesAndEvents);
    const all = await sockets(stand, 4);
    let running = 0;
    let most = 0;
    await Promise.all(
      [...all, ...all].map((socket) =>
        socket.withSession(async () => {
          most = Math.max(most, ++running);
          await new Promise((resolve) => setTimeout(resolve, 2));
          running--;
        })
      ),
    );
    assertEquals(most, 1);
  });

  it("do not wait for those of another session", async () => {
    const stand = await startServer({}, routesAndEvents);
    const [ada] = await sockets(stand, 1) as [TestSocket];
    const [bob] = await sockets(stand, 1) as [TestSocket];
    const gate = deferred();
    const held = ada.withSession(() => gate.promise);
    assertEquals(await settles(slowAdd(bob), "the other session"), 1);
    gate.resolve();
    await held;
  });

  it("run after one that throws or rejects", async () => {
    const stand = await startServer({}, routesAndEvents);
    const [socket] = await sockets(stand, 1) as [TestSocket];
    const first = assertRejects(() =>
      socket.withSession(() => {
        throw new Error("sync");
      })
    );
    const second = assertRejects(() =>
      socket.withSession(() => Promise.reject(new Error("async")))
    );
    const third = slowAdd(socket);
    await Promise.all([first, second]);
    assertEquals(await settles(third), 1);
    assertEquals(await settles(slowAdd(socket)), 2);
  });

  it("find the session missing when the one before ended it", async () => {
    const stand = await startServer({}, routesAndEvents);
    const [socket] = await sockets(stand, 1) as [TestSocket];
    const ended = socket.withSession((sessionCtx) => {
      sessionCtx.session = null;
    });
    const late = socket.withSession(() => "ran", "missing");
    await ended;
    assertEquals(await settles(late), "missing");
  });

  it("do not hang when they are nested", async () => {
    const stand = await startServer({}, routesAndEvents);
    const [one, two] = await sockets(stand, 2) as [TestSocket, TestSocket];
    const result = one.withSession(async ({ session }) => {
      session!.n = 1;
      const inner = await two.withSession(({ session }) => {
        session!.n! += 1;
        return session!.n;
      });
      return [inner, session!.n];
    });
    assertEquals(await settles(result, "the nested call"), [2, 2]);
    assertEquals(await settles(slowAdd(one)), 3);
  });

  it("nested and failing leave the outer call as it was", async () => {
    const stand = await startServer({}, routesAndEvents);
    const [socket] = await sockets(stand, 1) as [TestSocket];
    const result = socket.withSession(async ({ session }) => {
      session!.n = 1;
      await assertRejects(() =>
        socket.withSession(({ session }) => {
          session!.n = 99;
          throw new Error("inner");
        })
      );
      return session!.n;
    });
    assertEquals(await settles(result), 1);
    assertEquals(await settles(slowAdd(socket)), 2);
  });

  it("in their hundreds from the client lose nothing", async () => {
    const stand = await startServer({}, routesAndEvents);
    const ada = stand.browser();
    await ada.post("/session", { json: { n: 0 } });
    const clients = await Promise.all(
      [1, 2, 3].map(() => ada.connect()),
    );
    await Promise.all(
      Array.from(
        { length: 300 },
        (_, i) => ada.ask(clients[i % 3]!, "add"),
      ),
    );
    assertEquals((await ada.get("/session")).json.session, { n: 300 });
  });
});
