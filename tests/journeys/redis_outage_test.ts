import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, ClientSocket } from "../support/browser.ts";
import {
  browsersAt,
  type NodeProcess,
  spawnNodes,
  stopNodes,
} from "../support/cluster/processes.ts";
import {
  itNeedsRedis,
  type RedisServer,
  startRedis,
} from "../support/redis/server.ts";
import { redisServerPath } from "../support/requires.ts";
import { pause, until } from "../support/wait.ts";

const path = redisServerPath();

const VISITORS = 6;
/** How long the store may take, a session be waited for, and an end go unnoticed, in ms. */
const [STORE, LOCK, INTERVAL] = [500, 500, 500];
/** A long `lockTimeout`: calls wait this long for a session, but not for a store without an answer. */
const PATIENT = 60_000;
/** What a busy machine takes on top, in ms. */
const SLACK = 2_500;

/** A user with a session that began over HTTP on the first node, and a socket on the second. */
interface Person {
  readonly user: string;
  readonly at: readonly Browser[];
  readonly client: ClientSocket;
  readonly sessionId: string;
}

let server: RedisServer;
let dir: string | undefined;

describe("A cluster whose Redis fails", () => {
  afterEach(async () => {
    await stopNodes();
    if (path) await server.stop();
    if (dir) rmSync(dir, { recursive: true });
    dir = undefined;
  });

  for (const [seconds, lock] of [[3, LOCK], [10, PATIENT]] as const) {
    itNeedsRedis(
      `frozen for ${seconds} s: rejects typed and in time, then serves every session again`,
      async () => {
        server = await startRedis();
        const { nodes, people } = await populate(lock);
        server.signal("SIGSTOP");
        const since = Date.now();
        try {
          await refused(people);
          await pause(seconds * 1_000 - (Date.now() - since));
        } finally {
          server.signal("SIGCONT");
        }
        await wellAgain(people);
        quiet(nodes, people);
      },
    );
  }

  itNeedsRedis(
    "killed and started with its data: rejects typed and in time, then serves every session again",
    async () => {
      dir = mkdtempSync(join(tmpdir(), "koa-io-session-"));
      server = await startRedis(
        ...["--appendonly", "yes", "--appendfsync", "always", "--dir", dir],
      );
      const { nodes, people } = await populate();
      await server.stop();
      await refused(people);
      await server.start();
      await wellAgain(people);
      quiet(nodes, people);
    },
  );

  itNeedsRedis(
    "killed and started empty: every socket is sent the end of its session, and can log in again",
    async () => {
      server = await startRedis();
      const { nodes, people } = await populate();
      await server.stop();
      await refused(people);
      await server.start();
      const since = Date.now();
      await Promise.all(people.map(async ({ at, client }) => {
        await at[1]!.event(client, "session:end");
        assertEquals((await at[1]!.ask(client, "get")).code, "SESSION_MISSING");
        assertEquals((await at[1]!.ask(client, "whoami")).sessionId, undefined);
      }));
      // it looks again a second after it failed
      assertLess(Date.now() - since, 1_000 + INTERVAL + SLACK);
      assertEquals(await people[0]!.at[1]!.get("/rooms").then(json), []);
      await Promise.all(people.map(async ({ at, client, user, sessionId }) => {
        const answer = await at[0]!.post("/session", { json: { user } });
        assertEquals(answer.status, 200);
        const now = (await at[0]!.get("/")).json.sessionId;
        assert(now !== sessionId);
        await until(
          async () => (await at[1]!.ask(client, "whoami")).sessionId === now,
          "the socket in the new session",
        );
      }));
      assertEquals(unhandledByUs(nodes), []);
    },
  );
});

/** Two nodes, and people on them. */
async function populate(lockTimeout = LOCK): Promise<
  { nodes: NodeProcess[]; people: Person[] }
> {
  const nodes = await spawnNodes(2, {
    port: server.port,
    options: {
      storeTimeout: STORE,
      lockTimeout,
      reconcileInterval: INTERVAL,
    },
  });
  const people: Person[] = [];
  for (let i = 0; i < VISITORS; i++) {
    const at = browsersAt(nodes);
    const user = `user ${i}`;
    await at[0]!.post("/session", { json: { user, n: 0 } });
    const { sessionId } = (await at[0]!.get("/")).json;
    const client = await at[1]!.connect();
    assertEquals(await at[1]!.ask(client, "count"), 1);
    people.push({ user, at, client, sessionId });
  }
  return { nodes, people };
}

/** Every call that needs the store is refused, typed and in time. */
async function refused(
  people: readonly Person[],
): Promise<void> {
  await Promise.all(people.map(async ({ at, client }) => {
    const since = Date.now();
    const [used, read, held, connected] = await Promise.all([
      client.timeout(10_000).emitWithAck("count"),
      at[0]!.get("/session"),
      at[0]!.post("/add"),
      at[1]!.connect().then(
        () => "connected",
        (error: { data?: { code?: string } }) => error.data?.code,
      ),
    ]);
    assertLess(Date.now() - since, STORE + SLACK);
    assertEquals(used.code, "SESSION_STORE");
    assertEquals([read.status, read.json.code], [503, "SESSION_STORE"]);
    assertEquals([held.status, held.json.code], [503, "SESSION_STORE"]);
    assertEquals(connected, "SESSION_STORE");
    // the client keeps its id
    assertEquals(read.setCookies.filter(({ deletes }) => deletes), []);
  }));
}

/** Every user has the former session, on sockets and over HTTP, and can write to it. */
async function wellAgain(people: readonly Person[]): Promise<void> {
  const since = Date.now();
  await Promise.all(people.map(async (person) => {
    const { at, client, user, sessionId } = person;
    let n: unknown;
    await until(async () => {
      n = await at[1]!.ask(client, "count");
      return typeof n === "number";
    }, "the socket well again");
    // what was refused may have been done all the same, nothing is lost
    assert((n as number) >= 2);
    const { session } = (await at[0]!.get("/session")).json;
    assertEquals(session.user, user);
    assertEquals(session.n, n);
    assertEquals((await at[1]!.ask(client, "whoami")).sessionId, sessionId);
    const again = await at[0]!.connect();
    assertEquals((await at[0]!.ask(again, "get")).user, user);
    // and messages reach the nodes again
    await until(async () => {
      await at[0]!.post(`/news?user=${encodeURIComponent(user)}`);
      return at[1]!.received(client).some(([event]) => event === "news");
    }, "news");
  }));
  assertLess(Date.now() - since, 5_000);
  await Promise.all(people.map(async ({ at, client }) => {
    await at[0]!.post("/logout");
    await at[1]!.event(client, "session:end");
  }));
}

/** No client was sent an end of a live session, and no rejection was left unhandled. */
function quiet(nodes: readonly NodeProcess[], people: readonly Person[]) {
  for (const { at, client } of people) {
    const ends = at[1]!.received(client).filter(([event]) =>
      event === "session:end"
    );
    assertEquals(ends.length, 1);
    // where the store was read before the message arrived, the reason is unknown
    assertMatch(JSON.stringify(ends), /logout|revoked/);
  }
  assertEquals(unhandledByUs(nodes), []);
}

/** The adapters leave what they publish to itself; that is theirs. */
function unhandledByUs(nodes: readonly NodeProcess[]): unknown[] {
  return nodes.flatMap(({ lines }) =>
    lines.filter(({ type }) => type === "unhandled")
  );
}

function json(answer: { readonly json: unknown }): unknown {
  return answer.json;
}
