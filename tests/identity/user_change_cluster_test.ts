import { assert, assertEquals, assertFalse } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import type { TestSession } from "../support/app.ts";
import { MESSENGERS } from "../support/cluster/messengers.ts";
import {
  closeNodes,
  type Nodes,
  startNodes,
} from "../support/cluster/nodes.ts";
import { monitor } from "../support/redis/commands.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { collect, until } from "../support/wait.ts";

const user = (session: TestSession) => session.user;

/** Names that cannot be part of anything else. */
const [ADA, BOB] = ["user-ada-7f3", "user-bob-9c1"];

type Change = Record<string, unknown>;

/** The events `userChange` of each node. */
function watch(nodes: Nodes) {
  const seen = nodes.all.map(({ bridge }) =>
    collect<[Change]>(bridge, "userChange")
  );
  let checked = 0;
  return {
    /** Waits for the next change on each node; it is local on the first node alone. */
    async next(): Promise<Change> {
      const at = checked++;
      await until(
        () => seen.every((events) => events.length > at),
        "the change on each node",
      );
      const events = seen.map((of) => {
        const [{ local, ...change }] = of[at]!;
        return { local, change };
      });
      for (const [i, { local, change }] of events.entries()) {
        assertEquals(local, i === 0);
        assertEquals(change, events[0]!.change);
      }
      return events[0]!.change;
    },
    /** Each change was reported once. */
    isComplete: () =>
      assertEquals(seen.map(({ length }) => length), seen.map(() => checked)),
  };
}

for (const messenger of MESSENGERS) {
  describe(`A change of user on nodes over ${messenger}`, () => {
    let server: RedisServer;
    withRedisServer((started) => server = started);
    afterEach(closeNodes);

    itNeedsRedis(
      "is an event on each node, and no message names a user or an id",
      async () => {
        const nodes = await startNodes(server.port, {
          count: 3,
          messenger,
          options: { user },
        });
        const changes = watch(nodes);
        const watched = await monitor(server.port);
        const secrets = new Set<string>([ADA, BOB]);
        const [here, there] = nodes.browsers();
        const ids = async () => {
          const { sessionId, clientId } = (await here!.get("/")).json;
          for (const id of [sessionId, clientId]) if (id) secrets.add(id);
          return { sessionId, clientId };
        };
        const login = (name: string) =>
          here!.post("/session", { json: { user: name } });

        // a session that begins with a user
        await login(ADA);
        const begun = await ids();
        assertEquals(await changes.next(), {
          ...begun,
          from: undefined,
          to: ADA,
          ids: "new",
        });
        const client = await there!.connect();

        // a switch
        await login(BOB);
        const switched = await ids();
        assertEquals(await changes.next(), {
          ...switched,
          previousSessionId: begun.sessionId,
          from: ADA,
          to: BOB,
          ids: "new",
        });

        // a logout by the change of user
        await here!.post("/replace", { json: { n: 1 } });
        const guest = await ids();
        assertEquals(await changes.next(), {
          ...guest,
          previousSessionId: switched.sessionId,
          from: BOB,
          to: undefined,
          ids: "new",
        });

        // the login of a guest
        await login(ADA);
        const member = await ids();
        assertEquals(await changes.next(), {
          ...member,
          previousSessionId: guest.sessionId,
          from: undefined,
          to: ADA,
          ids: "new",
        });

        // where no cookie can be sent
        await nodes.all[0]!.bridge.withSession(
          member.sessionId,
          ({ session }) => {
            session!.user = BOB;
          },
        );
        assertEquals(await changes.next(), {
          ...member,
          from: ADA,
          to: BOB,
          ids: "kept",
        });
        assertEquals(await ids(), member);

        // a logout by the end of the session
        await here!.post("/logout");
        assertEquals(await changes.next(), {
          ...member,
          from: BOB,
          to: undefined,
          ids: "new",
        });
        changes.isComplete();

        const commands = (await watched.commands()).filter((line) =>
          line.includes(nodes.channel)
        );
        watched.close();
        assert(
          commands.some((line) => line.includes("koa-io-session")),
          "messages were sent",
        );
        for (const line of commands) {
          for (const secret of secrets) {
            assertFalse(line.includes(secret), line);
          }
        }
        client.disconnect();
      },
    );
  });
}
