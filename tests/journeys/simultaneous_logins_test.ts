import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "../support/browser.ts";
import {
  browsersAt,
  type NodeProcess,
  spawnNodes,
  stopNodes,
} from "../support/cluster/processes.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { withSqlite } from "../support/sqlite.ts";

/** How many browsers log in at once on each node. */
const BROWSERS = 4;
const NODES = 3;
const MAX = 2;

/** Logs in from many browsers at once, on all nodes: the answers, by user. */
async function loginStorm(
  nodes: readonly NodeProcess[],
  users: readonly string[],
): Promise<{ user: string; at: readonly Browser[]; status: number }[]> {
  const logins = users.flatMap((user) =>
    Array.from({ length: NODES * BROWSERS }, (_, i) => {
      const at = browsersAt(nodes);
      return { user, at, here: at[i % NODES]! };
    })
  );
  return await Promise.all(logins.map(async ({ user, at, here }) => {
    const { status } = await here.post("/session", { json: { user } });
    return { user, at, status };
  }));
}

/** How many of these browsers are logged in, as another node than that of the login sees it. */
async function countOf(
  browsers: readonly (readonly Browser[])[],
): Promise<number> {
  const sessions = await Promise.all(browsers.map(async (at, i) => {
    const other = at[(i + 1) % NODES]!;
    return (await other.get("/session")).json.session;
  }));
  return sessions.filter((session) => session?.user !== undefined).length;
}

/** The tests, on the nodes that `spawn` starts. */
function simultaneousLogins(
  test: (name: string, body: () => Promise<void>) => void,
  spawn: (exceed: "oldest" | "refuse") => Promise<NodeProcess[]>,
): void {
  for (const exceed of ["refuse", "oldest"] as const) {
    test(`of one user leave ${MAX} sessions: ${exceed}`, async () => {
      const nodes = await spawn(exceed);
      for (let round = 0; round < 3; round++) {
        const users = [`ada${round}`, `bob${round}`];
        const answers = await loginStorm(nodes, users);
        for (const user of users) {
          const own = answers.filter((answer) => answer.user === user);
          const admitted = own.filter(({ status }) => status === 200);
          const expected = exceed === "refuse" ? MAX : NODES * BROWSERS;
          assertStrictEquals(admitted.length, expected);
          assertEquals(await countOf(own.map(({ at }) => at)), MAX);
        }
        const rest = answers.filter(({ status }) => status !== 200);
        assert(rest.every(({ status }) => status === 409));
      }
      for (const { lines } of nodes) {
        assertEquals(lines.filter(({ type }) => type === "unhandled"), []);
      }
    });
  }
}

describe("Logins at once on three processes", () => {
  afterEach(stopNodes);

  describe("that share a Redis", () => {
    let server: RedisServer;
    withRedisServer((started) => server = started);

    simultaneousLogins(itNeedsRedis, (exceed) =>
      spawnNodes(NODES, {
        port: server.port,
        options: { maxSessions: { max: MAX, exceed } },
      }));

    itNeedsRedis(
      "end a displaced session on each node, with its reason for the sockets",
      async () => {
        const nodes = await spawnNodes(NODES, {
          port: server.port,
          options: { maxSessions: 1, onSessionEnd: "disconnect" },
        });
        const first = browsersAt(nodes);
        await first[0]!.post("/session", { json: { user: "ada" } });
        const client = await first[1]!.connect();
        const second = browsersAt(nodes);
        await second[2]!.post("/session", { json: { user: "ada" } });
        assertEquals(await first[1]!.event(client, "session:end"), [{
          reason: "displaced",
        }]);
        await Promise.all(nodes.map((node) => node.reported("sessionEnd")));
        for (const { lines } of nodes) {
          const ends = lines.filter(({ type }) => type === "sessionEnd");
          assertEquals(ends.map(({ reason }) => reason), ["displaced"]);
        }
      },
    );
  });

  withSqlite(() => {
    describe("that share a SQLite file", () => {
      let dir: string | undefined;
      afterEach(async () => {
        await stopNodes();
        if (dir) rmSync(dir, { recursive: true });
        dir = undefined;
      });

      simultaneousLogins(it, (exceed) => {
        dir = mkdtempSync(join(tmpdir(), "koa-io-session-"));
        return spawnNodes(NODES, {
          port: 0,
          file: join(dir, "sessions.db"),
          options: { maxSessions: { max: MAX, exceed } },
        });
      });
    });
  });
});
