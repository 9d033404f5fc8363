/** A node looks up what another one reported, and the session ends, moves or changes before the answer. */
import { assertEquals } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import type { RedisStore } from "@koa-io/session/redis";
import { serverSocketOf } from "../support/app.ts";
import {
  arrive,
  closeNodes,
  type Node,
  type Nodes,
  startNodes,
} from "../support/cluster/nodes.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { deferred, pause, until } from "../support/wait.ts";

let server: RedisServer;

/** Reconciliation comes later than any test ends. */
const start = (): Promise<Nodes> =>
  startNodes(server.port, {
    options: {
      reconcileInterval: 600_000,
      user: ({ user }) => user,
      onUserChange: "keep",
    },
  });

/** Holds back the next answer of a node's store about a live session. */
function delayRead({ bridge }: Node) {
  const store = bridge.store as unknown as RedisStore;
  const [asked, answered] = [deferred<string>(), deferred()];
  const { read } = store;
  store.read = async (sid) => {
    const record = await read.call(store, sid);
    if (!record || store.read === read) return record;
    store.read = read;
    asked.resolve(sid);
    await answered.promise;
    return record;
  };
  return { asked: asked.promise, answer: () => answered.resolve() };
}

/** What a node has emitted of an id. */
const eventsOf = ({ events }: Node, sessionId: string) =>
  events.filter(([, event]) => event.sessionId === sessionId)
    .map(([name, { cause, reason }]) => [name, cause ?? reason]);

/** Waits until a message of one node has reached the other. */
async function delivered(from: Node, to: Node): Promise<void> {
  const arrived = deferred();
  to.io.once("delivered" as never, () => arrived.resolve());
  from.io.serverSideEmit("delivered" as never);
  await arrived.promise;
  await pause(20);
}

describe("a look-up of a session that another node reported", () => {
  withRedisServer((started) => server = started);
  afterEach(closeNodes);

  itNeedsRedis(
    "is void when the session has ended here meanwhile",
    async () => {
      const nodes = await start();
      const [a, b] = nodes.all as [Node, Node];
      const { at, client, sessionId } = await arrive(nodes, { user: "ada" });
      const late = delayRead(b);
      await at[0]!.post("/regenerate?sockets=follow");
      const moved = await late.asked;
      const received: unknown[] = [];
      client.on("news", (text) => received.push(text));
      assertEquals(await b.bridge.destroy(moved), true);
      late.answer();
      await until(() => eventsOf(b, sessionId).length >= 2, "both events");
      b.bridge.toSession(moved).emit("news", "of the session");
      b.bridge.toUser("ada").emit("news", "of ada");
      await at[1]!.ask(client, "whoami");
      await delivered(b, a);
      assertEquals(received, []);
      assertEquals(b.rooms(), []);
      assertEquals(b.bridge.stats().sessions, 0);
      assertEquals(serverSocketOf(b.io, client).sessionId, undefined);
      assertEquals(eventsOf(b, moved), [
        ["sessionStart", "rebuilt"],
        ["sessionEnd", "revoked"],
      ]);
      assertEquals(eventsOf(b, sessionId), [
        ["sessionStart", "created"],
        ["sessionEnd", "revoked"],
      ]);
      assertEquals(eventsOf(a, moved), [
        ["sessionStart", "rotated"],
        ["sessionEnd", "revoked"],
      ]);
    },
  );

  for (const place of ["the node that began it", "the node that looks"]) {
    itNeedsRedis(
      `is void when a session that began has ended on ${place}`,
      async () => {
        const nodes = await start();
        const [a, b] = nodes.all as [Node, Node];
        const [one, two] = nodes.browsers();
        await one!.get("/");
        const client = await two!.connect();
        const late = delayRead(b);
        const answer = await one!.post("/session", { json: { user: "ada" } });
        assertEquals(answer.status, 200);
        const sessionId = await late.asked;
        const ending = place === "the node that looks" ? b : a;
        assertEquals(await ending.bridge.destroy(sessionId), true);
        await delivered(a, b);
        late.answer();
        await delivered(a, b);
        assertEquals(
          eventsOf(b, sessionId),
          ending === a ? [] : [
            ["sessionStart", "rebuilt"],
            ["sessionEnd", "revoked"],
          ],
        );
        assertEquals(b.bridge.stats().sessions, 0);
        assertEquals(b.rooms(), []);
        assertEquals(serverSocketOf(b.io, client).sessionId, undefined);
        assertEquals(two!.received(client).map(([name]) => name), []);
      },
    );
  }

  itNeedsRedis(
    "finds the new id of a session that was moved meanwhile",
    async () => {
      const nodes = await start();
      const [a, b] = nodes.all as [Node, Node];
      const [one, two] = nodes.browsers();
      await one!.get("/");
      const client = await two!.connect();
      const late = delayRead(b);
      await one!.post("/session", { json: { user: "ada" } });
      const sessionId = await late.asked;
      await one!.post("/regenerate?sockets=follow");
      const moved = (await one!.get("/")).json.sessionId;
      await delivered(a, b);
      late.answer();
      await delivered(a, b);
      assertEquals(eventsOf(b, sessionId), []);
      assertEquals(eventsOf(b, moved), [["sessionStart", "rotated"]]);
      assertEquals(b.bridge.stats().sessions, 1);
      assertEquals((await two!.ask(client, "whoami")).sessionId, moved);
    },
  );

  itNeedsRedis(
    "is followed by another one when a second message comes",
    async () => {
      const nodes = await start();
      const [a, b] = nodes.all as [Node, Node];
      const { at, client } = await arrive(nodes, { user: "ada" });
      const late = delayRead(b);
      await at[0]!.post("/session", { json: { user: "bob" } });
      await late.asked;
      await at[0]!.post("/session", { json: { user: "eve" } });
      await delivered(a, b);
      late.answer();
      const members = async (user: string) =>
        (await b.bridge.toUser(user).fetchSockets()).map(({ id }) => id);
      await until(async () => (await members("eve")).length > 0, "the room");
      assertEquals(await members("eve"), [client.id]);
      assertEquals(await members("bob"), []);
      assertEquals(await members("ada"), []);
    },
  );

  itNeedsRedis("ends once what both nodes end at a time", async () => {
    const nodes = await start();
    const [a, b] = nodes.all as [Node, Node];
    const { sessionId } = await arrive(nodes, { user: "ada" });
    const ended = await Promise.all([
      a.bridge.destroy(sessionId),
      b.bridge.destroy(sessionId),
      a.bridge.destroyUser("ada"),
    ]);
    assertEquals(ended.map(Number).reduce((sum, n) => sum + n), 1);
    await delivered(a, b);
    await delivered(b, a);
    for (const node of nodes.all) {
      assertEquals(eventsOf(node, sessionId), [
        ["sessionStart", "created"],
        ["sessionEnd", "revoked"],
      ]);
      assertEquals(node.bridge.stats().sessions, 0);
    }
  });
});
