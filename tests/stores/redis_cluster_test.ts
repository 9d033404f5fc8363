import type { SharedStore } from "@koa-io/session";
import { RedisStore } from "@koa-io/session/redis";
import { storeRules } from "@koa-io/session/testing";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { afterAll, beforeAll, describe } from "@std/testing/bdd";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cluster } from "ioredis";
import { createCluster } from "redis";
import { freePort } from "../support/ports.ts";
import { connections, say } from "../support/redis/commands.ts";
import {
  itNeedsRedis,
  type RedisServer,
  startRedis,
} from "../support/redis/server.ts";
import { redisServerPath } from "../support/requires.ts";
import { count, HOLD, newId, record } from "../support/stores/records.ts";
import { once, pause, settles, until } from "../support/wait.ts";

const path = redisServerPath();

/** Three nodes, a third of the slots each. */
class Nodes {
  readonly servers: RedisServer[] = [];
  readonly #dirs: string[] = [];

  async start(): Promise<void> {
    const buses: number[] = [];
    for (let i = 0; i < 3; i++) {
      const dir = await mkdtemp(join(tmpdir(), "redis-cluster-"));
      const bus = await freePort();
      this.#dirs.push(dir);
      buses.push(bus);
      const enabled = ["--cluster-enabled", "yes", "--dir", dir];
      const server = await startRedis(
        ...enabled,
        "--cluster-port",
        String(bus),
      );
      this.servers.push(server);
    }
    const ranges = ["0 5000", "5001 11000", "11001 16383"];
    for (const [i, { port }] of this.servers.entries()) {
      await say(port, `CLUSTER ADDSLOTSRANGE ${ranges[i]}\r\n`);
      const [first] = this.servers;
      await say(port, `CLUSTER MEET 127.0.0.1 ${first!.port} ${buses[0]}\r\n`);
    }
    for (const { port } of this.servers) {
      await until(
        async () => {
          const info = await say(port, "CLUSTER INFO\r\n");
          return info.includes("cluster_state:ok") &&
            info.includes("cluster_size:3");
        },
        "the cluster",
        20_000,
      );
    }
  }

  async stop(): Promise<void> {
    for (const server of this.servers.splice(0)) await server.stop();
    for (const dir of this.#dirs.splice(0)) await rm(dir, { recursive: true });
  }
}

describe("RedisStore on a Redis Cluster", () => {
  const nodes = new Nodes();
  beforeAll(async () => {
    if (path) await nodes.start();
  });
  afterAll(() => nodes.stop());

  itNeedsRedis("does all it does with redis", async () => {
    const clients = await openTwo();
    try {
      await everything(
        clients.map((client) => new RedisStore({ client, prefix: "a:" })),
      );
    } finally {
      for (const client of clients) await client.close();
    }
  });

  itNeedsRedis("does all it does with ioredis", async () => {
    const clients = await Promise.all([openIoredis(), openIoredis()]);
    try {
      await everything(
        clients.map((client) => new RedisStore({ client, prefix: "b:" })),
      );
    } finally {
      for (const client of clients) await endOf(client);
    }
  });

  for (const name of ["redis", "ioredis"]) {
    for (const ms of [0, 1, 3, 10, 30]) {
      itNeedsRedis(
        `a store that is closed ${ms} ms after its first wait leaves no connection of ${name}`,
        async () => {
          const client = name === "redis" ? await open() : await openIoredis();
          const [store, sid] = [new RedisStore({ client }), newId()];
          await store.write(sid, record(), null);
          const acquiring = store.acquire(sid, "t", HOLD, HOLD).catch(() => {});
          if (ms > 0) await pause(ms);
          await settles(store.close(), "the end of the store");
          await acquiring;
          if (client instanceof Cluster) await endOf(client);
          else await client.close();
          await until(areUnused, "no connection");
        },
      );
    }
  }

  itNeedsRedis("keeps the rules on begins, moves and locks", async () => {
    const [one, two] = await openTwo();
    try {
      const shared = { scope: "shared" } as SharedStore;
      const rules = storeRules(shared, { peer: true }).filter(({ name }) =>
        /^(begin|move|destroy|former|scan|tryLock|peer):/.test(name)
      );
      for (const rule of rules) {
        const store = new RedisStore({ client: one!, prefix: "c:" });
        const peer = () => new RedisStore({ client: two!, prefix: "c:" });
        await rule.run(store, { peer }).catch((cause) => {
          throw new Error(rule.name, { cause });
        });
        await store.close();
      }
    } finally {
      for (const client of [one!, two!]) await client.close();
    }
  });

  itNeedsRedis(
    "a move that is cut off is under one id: before the second step the former, then the new one",
    async () => {
      const [one, two] = await openTwo();
      let isCut: (keys: string) => boolean = () => false;
      const cut = new Proxy(one!, {
        get(target, name) {
          if (name !== "sendCommand") return Reflect.get(target, name);
          return (key: string, isReadonly: boolean, args: string[]) => {
            const keys = args.slice(3, 3 + Number(args[2])).join(" ");
            return isCut(keys)
              ? Promise.reject(new Error("cut off"))
              : target.sendCommand(key, isReadonly, args);
          };
        },
      });
      const store = new RedisStore({ client: cut, prefix: "d:" });
      const other = new RedisStore({ client: two!, prefix: "d:" });
      try {
        const lookUps = {
          read: (sid: string) => other.read(sid),
          acquire: async (sid: string) =>
            (await other.acquire(sid, newId(), HOLD, 0)).status === "granted",
          extend: (sid: string) => other.extend(sid, Date.now() + 9e9),
          destroy: (sid: string) => other.destroy(sid),
        };
        for (const step of ["prepare", "detach", "activate"]) {
          for (const [name, lookUp] of Object.entries(lookUps)) {
            const [from, to, client] = [newId(), newId(), newId()];
            const of = record({ clientId: client, user: newId() });
            const begun = await store.begin(from, of);
            assert(begun.status === "begun");
            let writes = 0;
            isCut = (keys) => {
              if (step === "detach") return keys.includes(` d:f:{${from}}`);
              if (keys !== `d:s:{${to}}`) return false;
              return step === "prepare" || ++writes > 1;
            };
            const condition = { expected: begun.version };
            await assertRejects(
              async () => await store.move(from, to, of, condition, "note"),
              Error,
              "cut off",
            );
            isCut = () => false;
            const [alive, dead] = step === "activate" ? [to, from] : [from, to];
            assert(!await lookUp(dead), `${name} after ${step}: the other`);
            assert(await lookUp(alive), `${name} after ${step}: the session`);
            const free = await other.begin(newId(), of, { replaces: [] });
            assertEquals(
              free.status,
              name === "destroy" ? "begun" : "occupied",
            );
          }
        }
      } finally {
        await store.close();
        await other.close();
        for (const client of [one!, two!]) await client.close();
      }
    },
  );

  async function open() {
    const client = createCluster({
      rootNodes: nodes.servers.map(({ port }) => ({
        url: `redis://127.0.0.1:${port}`,
      })),
      // a connection that is opened while the client closes is not closed by it
      defaults: {
        socket: {
          reconnectStrategy: () => nodes.servers.length > 0 ? 50 : false,
        },
      },
    });
    client.on("error", () => {});
    await client.connect();
    return client;
  }

  const openTwo = () => Promise.all([open(), open()]);

  async function openIoredis(): Promise<Cluster> {
    const client = new Cluster(
      nodes.servers.map(({ port }) => ({ host: "127.0.0.1", port })),
    );
    client.on("error", () => {});
    await once(client, "ready");
    return client;
  }

  async function endOf(client: Cluster): Promise<void> {
    const ended = once(client, "end");
    client.disconnect();
    await ended;
  }

  /** Whether no node has any connection. */
  async function areUnused(): Promise<boolean> {
    const counts = await Promise.all(
      nodes.servers.map(({ port }) => connections(port)),
    );
    return counts.every((count) => count === 0);
  }

  async function everything(stores: readonly RedisStore[]): Promise<void> {
    const [a, b] = [stores[0]!, stores[1]!];
    try {
      for (let i = 0; i < 12; i++) {
        const [sid, client, user] = [newId("}{%"), newId(), newId("user")];
        await a.write(sid, record({ clientId: client, user }), null);
        assertEquals(await b.byClient(client), sid);
        assertEquals(await b.byUser(user), [sid]);
        const hash = createHash("sha256").update(sid).digest("base64url").slice(
          0,
          22,
        );
        assertEquals(await b.byHash(hash), sid);
        const scanned: string[] = [];
        for await (const batch of b.scan(10)) {
          scanned.push(...batch.map((one) => one.sid));
        }
        assert(scanned.includes(sid));
        assert(await b.extend(sid, Date.now() + 9e9));
        const { version } = (await a.read(sid))!;
        assertEquals(await a.versions([sid, newId()]), [version, undefined]);

        assertEquals((await a.acquire(sid, "t", HOLD, 0)).status, "granted");
        const next = b.acquire(sid, "u", HOLD, HOLD);
        await until(async () => await isQueued(sid), "a waiter");
        await a.commit(sid, "t", record({ data: `{"n":${i}}` }));
        const got = await settles(next, "the hand-over", 3_000);
        assert(got.status === "granted");
        assertEquals(count(got.record), i);

        const last = a.acquire(sid, "v", HOLD, HOLD);
        await until(async () => await isQueued(sid), "a waiter");
        assert(await b.destroy(sid, "note"));
        assertEquals((await settles(last, "the end", 3_000)).status, "missing");
        assertEquals((await a.former(sid))!.note, "note");
      }
    } finally {
      for (const store of stores) await store.close();
    }
  }

  async function isQueued(sid: string): Promise<boolean> {
    const tag = sid.replace(/[{}%]/g, encodeURIComponent);
    for (const { port } of nodes.servers) {
      for (const prefix of ["a:", "b:"]) {
        const reply = await say(port, `LLEN ${prefix}q:{${tag}}\r\n`);
        if (reply.startsWith(":") && reply !== ":0\r\n") return true;
      }
    }
    return false;
  }
});
