import { assert, assertEquals, assertLess } from "@std/assert";
import { afterEach, beforeEach, describe } from "@std/testing/bdd";
// @ts-types="@types/pg"
import pg from "pg";
import type { Browser, ClientSocket } from "../support/browser.ts";
import {
  browsersAt,
  type NodeProcess,
  spawnNodes,
  stopNodes,
} from "../support/cluster/processes.ts";
import type { Postgres } from "../support/postgres/cluster.ts";
import {
  itNeedsPostgres,
  withOwnPostgres,
} from "../support/postgres/server.ts";
import { newTable } from "../support/postgres/stores.ts";
import { postgresBin } from "../support/requires.ts";
import { pause, until } from "../support/wait.ts";

const VISITORS = 4;
/** How long the store may take, a session be waited for, and an end go unnoticed, in ms. */
const [STORE, LOCK, INTERVAL] = [500, 1_000, 500];
/** What a busy machine takes on top, in ms. */
const SLACK = 3_000;

/** A user with a session that began over HTTP on the first node, and a socket on the second. */
interface Person {
  readonly user: string;
  readonly at: readonly Browser[];
  readonly client: ClientSocket;
  readonly sessionId: string;
}

let server: Postgres;
let table: string;

describe("A cluster on PostgreSQL", () => {
  withOwnPostgres((started) => server = started);
  beforeEach(() => {
    table = newTable();
  });
  afterEach(async () => {
    await stopNodes();
    if (postgresBin()) await query("DROP TABLE IF EXISTS $table");
  });

  describe("that fails", failures);
  describe("whose nodes fail", deadNodes);
});

function failures() {
  itNeedsPostgres(
    "its connections cut: rejects typed or not at all, and serves every session at once",
    async () => {
      const { nodes, people } = await populate();
      for (let round = 0; round < 5; round++) {
        const calls = people.map(({ at, client }) => [
          client.timeout(10_000).emitWithAck("count"),
          at[0]!.post("/add"),
        ]).flat();
        await query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`,
        );
        for (const answer of await Promise.all(calls)) {
          if (typeof answer === "number" || answer.status === 200) continue;
          const code = answer.code ?? answer.json?.code;
          // a lease whose release was cut ends with its time
          assert(["SESSION_STORE", "SESSION_TIMEOUT"].includes(code), code);
        }
        await wellAgain(people);
      }
      await logOut(people);
      quiet(nodes);
    },
  );

  itNeedsPostgres(
    "frozen for longer than storeTimeout: rejects typed and in time, then serves every session again",
    async () => {
      const { nodes, people } = await populate();
      await server.signal("SIGSTOP");
      const since = Date.now();
      try {
        await refused(people, ["SESSION_STORE", "SESSION_TIMEOUT"]);
        await pause(4 * STORE - (Date.now() - since));
      } finally {
        await server.signal("SIGCONT");
      }
      await wellAgain(people);
      await logOut(people);
      quiet(nodes);
    },
  );

  itNeedsPostgres(
    "stopped hard and started: rejects typed and in time, then serves every session again",
    async () => {
      const { nodes, people } = await populate();
      await server.stop();
      await refused(people, ["SESSION_STORE"]);
      await server.start();
      await wellAgain(people);
      await logOut(people);
      quiet(nodes);
    },
  );

  itNeedsPostgres(
    "a read-only standby in its place: reads go on, writes reject typed",
    async () => {
      const { people } = await populate();
      const [{ at: before, sessionId }] = people as [Person];
      const standby = await server.standby();
      const nodes = await spawnNodes(1, {
        port: 0,
        postgres: { address: standby.address, table },
        options: { storeTimeout: STORE, lockTimeout: LOCK },
      });
      const [at] = browsersAt(nodes);
      const { jar } = before[0]!;
      await until(
        async () => (await at!.get("/", { jar })).json.sessionId === sessionId,
        "the session on the standby",
      );
      const written = await at!.post("/add", { jar });
      assertEquals([written.status, written.json.code], [503, "SESSION_STORE"]);
      quiet(nodes);
      await standby.remove();
    },
  );

  itNeedsPostgres(
    "statement_timeout passed: rejects typed, and the session is served again",
    async () => {
      const { nodes, people } = await populate({ statement_timeout: 200 });
      const blocker = new pg.Client(server.address);
      await blocker.connect();
      try {
        await blocker.query(`BEGIN; SELECT FROM ${table} FOR UPDATE`);
        await refused(people, ["SESSION_STORE"], false);
      } finally {
        await blocker.end();
      }
      await wellAgain(people);
      await logOut(people);
      quiet(nodes);
    },
  );
}

function deadNodes() {
  itNeedsPostgres(
    "a node killed while it holds a session blocks others for lockTimeout at most, and loses nothing",
    async () => {
      const nodes = await spawn(2);
      const [a, b] = browsersAt(nodes);
      await a!.post("/session", { json: { n: 1, user: "ada" } });
      await a!.get("/");
      const client = await b!.connect();
      const held = await a!.connect();
      held.emit("hold", 60_000, () => {});
      await nodes[0]!.reported("holding");
      const since = Date.now();
      const waiting = b!.ask(client, "count");
      nodes[0]!.signal("SIGKILL");
      assertEquals(await waiting, 2);
      assertLess(Date.now() - since, LOCK + SLACK);
      assertEquals((await b!.post("/add")).json, { n: 3 });
    },
  );

  itNeedsPostgres("a node killed while it waits is skipped", async () => {
    const nodes = await spawn(3);
    const [a, b, c] = browsersAt(nodes);
    await a!.post("/session", { json: { n: 1 } });
    const { sessionId } = (await a!.get("/")).json;
    const holder = await a!.connect();
    const waiter = await b!.connect();
    const last = await c!.connect();
    const held = a!.ask(holder, "hold", 300);
    await nodes[0]!.reported("holding");
    waiter.emit("count", () => {});
    await until(async () => {
      const [row] = await query(
        "SELECT cardinality(queue) AS n FROM $table WHERE sid = $1",
        [sessionId],
      );
      return row!.n === 1;
    }, "the queue");
    nodes[1]!.signal("SIGKILL");
    const since = Date.now();
    const counted = c!.ask(last, "count");
    assertEquals(await held, true);
    assertEquals(await counted, 2);
    assertLess(Date.now() - since, 300 + LOCK + SLACK);
  });

  itNeedsPostgres(
    "a node frozen past its lease and thawed is refused its late write",
    async () => {
      const nodes = await spawn(2);
      const [a, b] = browsersAt(nodes);
      await a!.post("/session", { json: { n: 1 } });
      await a!.get("/");
      const client = await b!.connect();
      const held = await a!.connect();
      const late = a!.ask(held, "hold", 100);
      await nodes[0]!.reported("holding");
      nodes[0]!.signal("SIGSTOP");
      try {
        const since = Date.now();
        assertEquals(await b!.ask(client, "count"), 2);
        assertLess(Date.now() - since, LOCK + SLACK);
      } finally {
        nodes[0]!.signal("SIGCONT");
      }
      assertEquals((await late).code, "SESSION_TIMEOUT");
      assertEquals((await b!.get("/session")).json.session, { n: 2 });
      // it goes on
      assertEquals(await a!.ask(held, "count"), 3);
    },
  );
}

function spawn(count: number, options = {}, pool = {}): Promise<NodeProcess[]> {
  return spawnNodes(count, {
    port: server.address.port,
    postgres: { address: server.address, table, pool },
    options: {
      storeTimeout: STORE,
      lockTimeout: LOCK,
      reconcileInterval: INTERVAL,
      clientAlwaysRoll: false,
      ...options,
    },
  });
}

/** Two nodes, and people on them. */
async function populate(
  pool = {},
): Promise<{ nodes: NodeProcess[]; people: Person[] }> {
  const nodes = await spawn(2, {}, pool);
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
  codes: readonly string[],
  reads = true,
): Promise<void> {
  const isRefusal = (code: unknown) =>
    assert(codes.includes(String(code)), `received ${JSON.stringify(code)}`);
  await Promise.all(people.map(async ({ at, client }) => {
    const since = Date.now();
    const [used, held, read] = await Promise.all([
      client.timeout(10_000).emitWithAck("count"),
      at[0]!.post("/add"),
      reads ? at[0]!.get("/session") : undefined,
    ]);
    assertLess(Date.now() - since, Math.max(STORE, LOCK) + SLACK);
    isRefusal(used.code);
    assertEquals(held.status, 503);
    isRefusal(held.json.code);
    if (!read) return;
    assertEquals(read.status, 503);
    isRefusal(read.json.code);
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
    await until(
      async () => (await at[0]!.get("/session")).status === 200,
      "the first node",
    );
    const { session } = (await at[0]!.get("/session")).json;
    assertEquals(session.user, user);
    assertEquals(session.n, n);
    assertEquals((await at[1]!.ask(client, "whoami")).sessionId, sessionId);
  }));
  assertLess(Date.now() - since, 5_000);
}

/** A logout on one node reaches the sockets of the other. */
async function logOut(people: readonly Person[]): Promise<void> {
  await Promise.all(people.map(async ({ at, client }) => {
    const ended = at[1]!.event(client, "session:end");
    await at[0]!.post("/logout");
    await ended;
  }));
}

/** No rejection was left unhandled, and no node has ended. */
function quiet(nodes: readonly NodeProcess[]): void {
  for (const { lines, child } of nodes) {
    assertEquals(lines.filter(({ type }) => type === "unhandled"), []);
    assertEquals([child.exitCode, child.signalCode], [null, null]);
  }
}

async function query(
  text: string,
  values: unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(server.address);
  await client.connect();
  try {
    return (await client.query(text.replaceAll("$table", table), values)).rows;
  } finally {
    await client.end();
  }
}
