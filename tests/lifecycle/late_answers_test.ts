/** The answer to a write comes after the session was written again. */
import { assertEquals } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import type { RedisStore } from "@koa-io/session/redis";
import {
  arrive,
  closeNodes,
  type Node,
  startNodes,
} from "../support/cluster/nodes.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { deferred, once, until } from "../support/wait.ts";

let server: RedisServer;

/** A node with a socket in a session; reconciliation comes later than any test ends. */
async function start(user: string | undefined) {
  const nodes = await startNodes(server.port, {
    options: {
      reconcileInterval: 600_000,
      user: ({ user }) => user,
      onUserChange: "keep",
    },
  });
  // the second one has the socket
  const [, node] = nodes.all as [Node, Node];
  const session = { n: 0, ...user !== undefined && { user } };
  const { client, sessionId } = await arrive(nodes, session);
  const heard: string[] = [];
  client.on("news", (name: string) => heard.push(name));
  const { bridge } = node;

  /** The users whose rooms the socket is in. */
  async function users(): Promise<readonly string[]> {
    heard.length = 0;
    for (const name of ["ada", "bob"]) bridge.toUser(name).emit("news", name);
    const marked = once(client, "mark");
    bridge.toSession(sessionId).emit("mark");
    await marked;
    return [...heard];
  }
  const set = (data: { user?: string | undefined; n?: number }) =>
    bridge.withSession(sessionId, ({ session }) => {
      Object.assign(session!, data);
    });
  return { node, users, set };
}

/** Holds back the answer to the next write of a node. */
function delayCommit({ bridge }: Node) {
  const store = bridge.store as unknown as RedisStore;
  const [applied, answered] = [deferred(), deferred()];
  const { commit } = store;
  store.commit = async (...args) => {
    store.commit = commit;
    const result = await commit.apply(store, args);
    applied.resolve();
    await answered.promise;
    return result;
  };
  return { applied: applied.promise, answer: () => answered.resolve() };
}

describe("views of two nodes", () => {
  withRedisServer((started) => server = started);
  afterEach(closeNodes);

  itNeedsRedis("end with that of the last write", async () => {
    const nodes = await startNodes(server.port, {
      options: { view: ({ n }) => n, reconcileInterval: 600_000 },
    });
    const [a, b] = nodes.all as [Node, Node];
    const { client, sessionId } = await arrive(nodes, { n: 0 });
    const views: unknown[] = [];
    client.on("session:view", (view: unknown) => views.push(view));
    const set = ({ bridge }: Node, n: number) =>
      bridge.withSession(sessionId, ({ session }) => {
        session!.n = n;
      });
    const late = delayCommit(a);
    const first = set(a, 1);
    await late.applied;
    await set(b, 2);
    await until(() => views.at(-1) === 2, "the later view");
    late.answer();
    await first;
    await until(() => views.includes(1), "the former view");
    await until(() => views.at(-1) === 2, "the later view again");
  });

  itNeedsRedis("report each read that fails once", async () => {
    const nodes = await startNodes(server.port, {
      options: { view: ({ n }) => n, reconcileInterval: 600_000 },
    });
    const [node] = nodes.all as [Node];
    const { client, sessionId } = await arrive(nodes, { n: 0 });
    const views: unknown[] = [];
    client.on("session:view", (view: unknown) => views.push(view));
    const store = node.bridge.store as unknown as RedisStore;
    const [asked, fails] = [deferred(), deferred()];
    let reads = 0;
    store.read = async () => {
      reads++;
      asked.resolve();
      await fails.promise;
      throw new Error("no answer");
    };
    const errors: unknown[] = [];
    node.bridge.on("error", (error) => errors.push(error));
    for (const n of [1, 2, 3]) {
      await node.bridge.withSession(sessionId, ({ session }) => {
        session!.n = n;
      });
      await asked.promise;
      await until(() => views.at(-1) === n, "the view");
    }
    fails.resolve();
    await until(() => errors.length >= 2, "the errors");
    // another error would come in the same turn
    await new Promise((resolve) => setTimeout(resolve, 0));
    assertEquals([reads, errors.length], [2, 2]);
  });
});

describe("the late answer to a write", () => {
  withRedisServer((started) => server = started);
  afterEach(closeNodes);

  itNeedsRedis("does not take a socket from its user", async () => {
    const { node, users, set } = await start(undefined);
    const late = delayCommit(node);
    const first = set({ n: 1 });
    await late.applied;
    await set({ user: "ada" });
    assertEquals(await users(), ["ada"]);
    late.answer();
    await first;
    assertEquals(await users(), ["ada"]);
  });

  itNeedsRedis("does not take a socket back to its former user", async () => {
    const { node, users, set } = await start("ada");
    assertEquals(await users(), ["ada"]);
    const late = delayCommit(node);
    const first = set({ n: 1 });
    await late.applied;
    await set({ user: "bob" });
    late.answer();
    await first;
    assertEquals(await users(), ["bob"]);
  });

  itNeedsRedis("of a login does not outlast the logout after it", async () => {
    const { node, users, set } = await start(undefined);
    const late = delayCommit(node);
    const first = set({ user: "ada" });
    await late.applied;
    await set({ user: undefined });
    late.answer();
    await first;
    await until(async () => (await users()).length === 0, "the logout");
  });
});
